/* JPEG files to quantised coefficients (and pixels) and back, through libjpeg's own interface, which TurboJPEG's hides.
 *
 * libjpeg reports errors by a function that must not return: it is left by longjmp, which stays inside this file. Warnings are
 * errors. ffi.rs mirrors the two structs. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum { GRAY = 1, YCBCR = 2, RGB = 3, OTHER = 0 };

struct metacl_jpeg_header {
  uint32_t width, height;
  int32_t components;
  int32_t space;     /* as above */
  int32_t precision; /* bits of a sample */
  int32_t lossless;  /* 1: no DCT */
};

struct metacl_jpeg_component {
  int32_t h, v;                 /* sampling factors */
  uint32_t columns, rows;       /* in blocks, without dummies */
  int32_t has_table;            /* 0: no scan held the component */
  uint16_t quantisation[64];    /* natural order */
};

struct errors {
  struct jpeg_error_mgr mgr; /* first: libjpeg knows this address */
  jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

static void leave(j_common_ptr cinfo) {
  struct errors *errors = (struct errors *)cinfo->err;
  errors->mgr.format_message(cinfo, errors->message);
  longjmp(errors->escape, 1);
}

static void on_message(j_common_ptr cinfo, int level) {
  if (level < 0) leave(cinfo);
}

static void silent(j_common_ptr cinfo) { (void)cinfo; }

static struct jpeg_error_mgr *strict(struct errors *errors) {
  jpeg_std_error(&errors->mgr);
  errors->mgr.error_exit = leave;
  errors->mgr.emit_message = on_message;
  errors->mgr.output_message = silent;
  errors->message[0] = 0;
  return &errors->mgr;
}

/* ---- reading ---- */

struct metacl_jpeg_reader {
  struct jpeg_decompress_struct cinfo;
  struct errors errors;
  jvirt_barray_ptr *arrays;
};

void metacl_jpeg_close(struct metacl_jpeg_reader *reader) {
  jpeg_destroy_decompress(&reader->cinfo);
  free(reader);
}

const char *metacl_jpeg_message(const struct metacl_jpeg_reader *reader) { return reader->errors.message; }

/* A reader; null where there is no memory for one. */
struct metacl_jpeg_reader *metacl_jpeg_new(void) { return calloc(1, sizeof(struct metacl_jpeg_reader)); }

/* Reads up to the first scan, once a reader; 0 where that fails. `bytes` must live as long as the reader is used. */
int metacl_jpeg_open(struct metacl_jpeg_reader *reader, const uint8_t *bytes, size_t length,
                     struct metacl_jpeg_header *header) {
  struct jpeg_decompress_struct *cinfo = &reader->cinfo;
  cinfo->err = strict(&reader->errors);
  if (setjmp(reader->errors.escape)) return 0;
  jpeg_create_decompress(cinfo);
  jpeg_mem_src(cinfo, bytes, (unsigned long)length);
  jpeg_read_header(cinfo, TRUE);
  header->width = cinfo->image_width;
  header->height = cinfo->image_height;
  header->components = cinfo->num_components;
  header->precision = cinfo->data_precision;
  header->lossless = cinfo->comp_info[0].DCT_scaled_size != DCTSIZE;
  switch (cinfo->jpeg_color_space) {
    case JCS_GRAYSCALE: header->space = GRAY; break;
    case JCS_YCbCr: header->space = YCBCR; break;
    case JCS_RGB: header->space = RGB; break;
    default: header->space = OTHER;
  }
  return 1;
}

/* Undoes the entropy code of all scans once; where `rgb` is not null, fills it with `height * width * 3` bytes as libjpeg-turbo
 * decodes by default. */
int metacl_jpeg_read(struct metacl_jpeg_reader *reader, int most_scans, uint8_t *rgb) {
  struct jpeg_decompress_struct *cinfo = &reader->cinfo;
  if (setjmp(reader->errors.escape)) return 0;
  cinfo->buffered_image = TRUE;
  cinfo->out_color_space = JCS_RGB;
  jpeg_start_decompress(cinfo);
  while (jpeg_consume_input(cinfo) != JPEG_REACHED_EOI) {
    if (cinfo->input_scan_number > most_scans) {
      snprintf(reader->errors.message, sizeof reader->errors.message, "more than %d scans", most_scans);
      return 0;
    }
  }
  if (rgb != NULL) {
    size_t stride = (size_t)cinfo->image_width * 3;
    jpeg_start_output(cinfo, cinfo->input_scan_number);
    while (cinfo->output_scanline < cinfo->output_height) {
      JSAMPROW rows[16];
      JDIMENSION count = 0;
      for (; count < 16 && cinfo->output_scanline + count < cinfo->output_height; count++)
        rows[count] = rgb + (cinfo->output_scanline + count) * stride;
      jpeg_read_scanlines(cinfo, rows, count);
    }
    jpeg_finish_output(cinfo);
  }
  reader->arrays = jpeg_read_coefficients(cinfo);
  return 1;
}

/* What component `index`, below `header.components`, is like; after metacl_jpeg_read. */
void metacl_jpeg_component(const struct metacl_jpeg_reader *reader, int index, struct metacl_jpeg_component *out) {
  const jpeg_component_info *info = &reader->cinfo.comp_info[index];
  out->h = info->h_samp_factor;
  out->v = info->v_samp_factor;
  out->columns = info->width_in_blocks;
  out->rows = info->height_in_blocks;
  out->has_table = info->quant_table != NULL;
  if (out->has_table) memcpy(out->quantisation, info->quant_table->quantval, sizeof out->quantisation);
}

/* The `rows * columns` blocks of component `index`. */
int metacl_jpeg_blocks(struct metacl_jpeg_reader *reader, int index, int16_t (*out)[64]) {
  struct jpeg_decompress_struct *cinfo = &reader->cinfo;
  const jpeg_component_info *info = &cinfo->comp_info[index];
  if (setjmp(reader->errors.escape)) return 0;
  for (JDIMENSION row = 0; row < info->height_in_blocks; row++) {
    JBLOCKARRAY blocks =
        cinfo->mem->access_virt_barray((j_common_ptr)cinfo, reader->arrays[index], row, 1, FALSE);
    memcpy(out + (size_t)row * info->width_in_blocks, blocks[0], info->width_in_blocks * sizeof(JBLOCK));
  }
  return 1;
}

/* ---- writing ---- */

struct metacl_jpeg_writer {
  struct jpeg_compress_struct cinfo;
  struct errors errors;
  struct jpeg_destination_mgr destination;
  uint8_t *bytes;
  size_t size, length; /* room; bytes of the finished file, 0 where it failed */
};

static void begin(j_compress_ptr cinfo) { (void)cinfo; }

/* Doubles the room. libjpeg calls it when all of it is full. */
static boolean more(j_compress_ptr cinfo) {
  struct metacl_jpeg_writer *writer = cinfo->client_data;
  size_t size = writer->size * 2;
  uint8_t *bytes = realloc(writer->bytes, size);
  if (bytes == NULL) ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 0);
  writer->destination.next_output_byte = bytes + writer->size;
  writer->destination.free_in_buffer = size - writer->size;
  writer->bytes = bytes;
  writer->size = size;
  return TRUE;
}

static JDIMENSION rounded(uint32_t value, int32_t unit) { return (value + unit - 1) / unit * unit; }

/* The slot that holds `table`, filled by the first component that has it. Three components fit the four slots. */
static int slot(j_compress_ptr cinfo, const uint16_t *table) {
  JQUANT_TBL **slots = cinfo->quant_tbl_ptrs;
  int number = 0;
  while (slots[number] != NULL && memcmp(slots[number]->quantval, table, sizeof slots[number]->quantval) != 0) number++;
  if (slots[number] == NULL) {
    slots[number] = jpeg_alloc_quant_table((j_common_ptr)cinfo);
    memcpy(slots[number]->quantval, table, sizeof slots[number]->quantval);
  }
  return number;
}

static void compress(j_compress_ptr cinfo, const struct metacl_jpeg_header *header,
                     const struct metacl_jpeg_component *components, const int16_t (*const *blocks)[64], int optimise) {
  jvirt_barray_ptr arrays[3];
  cinfo->image_width = header->width;
  cinfo->image_height = header->height;
  cinfo->input_components = header->components;
  cinfo->in_color_space = header->space == GRAY ? JCS_GRAYSCALE : header->space == RGB ? JCS_RGB : JCS_YCbCr;
  jpeg_set_defaults(cinfo);
  jpeg_set_colorspace(cinfo, cinfo->in_color_space);
  memset(cinfo->quant_tbl_ptrs, 0, sizeof cinfo->quant_tbl_ptrs); /* the defaults stay in libjpeg's pool until its end */
  cinfo->optimize_coding = optimise != 0;
  for (int i = 0; i < header->components; i++) {
    const struct metacl_jpeg_component *from = &components[i];
    cinfo->comp_info[i].h_samp_factor = from->h;
    cinfo->comp_info[i].v_samp_factor = from->v;
    cinfo->comp_info[i].quant_tbl_no = slot(cinfo, from->quantisation);
    arrays[i] = cinfo->mem->request_virt_barray((j_common_ptr)cinfo, JPOOL_IMAGE, TRUE, rounded(from->columns, from->h),
                                                rounded(from->rows, from->v), from->v);
  }
  jpeg_write_coefficients(cinfo, arrays); /* makes the arrays; they are read by jpeg_finish_compress */
  for (int i = 0; i < header->components; i++) {
    for (JDIMENSION row = 0; row < components[i].rows; row++) {
      JBLOCKARRAY to = cinfo->mem->access_virt_barray((j_common_ptr)cinfo, arrays[i], row, 1, TRUE);
      memcpy(to[0], blocks[i] + (size_t)row * components[i].columns, components[i].columns * sizeof(JBLOCK));
    }
  }
  jpeg_finish_compress(cinfo);
}

void metacl_jpeg_free(struct metacl_jpeg_writer *writer) {
  jpeg_destroy_compress(&writer->cinfo);
  free(writer->bytes);
  free(writer);
}

/* Why metacl_jpeg_write failed. */
const char *metacl_jpeg_failure(const struct metacl_jpeg_writer *writer) { return writer->errors.message; }

/* The file and its length; null where it could not be written. */
const uint8_t *metacl_jpeg_file(const struct metacl_jpeg_writer *writer, size_t *length) {
  *length = writer->length;
  return writer->length > 0 ? writer->bytes : NULL;
}

/* Writes a JPEG of one or three components, each of `rows * columns` blocks, into memory; null where there is none for a writer.
 * The caller has checked that components and header fit and that Huffman codes reach every coefficient. */
struct metacl_jpeg_writer *metacl_jpeg_write(const struct metacl_jpeg_header *header,
                                             const struct metacl_jpeg_component *components,
                                             const int16_t (*const *blocks)[64], int optimise) {
  struct metacl_jpeg_writer *writer = calloc(1, sizeof *writer);
  if (writer == NULL) return NULL;
  writer->cinfo.err = strict(&writer->errors);
  if (setjmp(writer->errors.escape)) return writer;
  jpeg_create_compress(&writer->cinfo);
  writer->size = 1 << 16;
  writer->bytes = malloc(writer->size);
  if (writer->bytes == NULL) ERREXIT1(&writer->cinfo, JERR_OUT_OF_MEMORY, 0);
  writer->destination.init_destination = begin;
  writer->destination.empty_output_buffer = more;
  writer->destination.term_destination = begin;
  writer->destination.next_output_byte = writer->bytes;
  writer->destination.free_in_buffer = writer->size;
  writer->cinfo.dest = &writer->destination;
  writer->cinfo.client_data = writer;
  compress(&writer->cinfo, header, components, blocks, optimise);
  writer->length = writer->size - writer->destination.free_in_buffer;
  return writer;
}
