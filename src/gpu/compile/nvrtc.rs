//! The calls of NVRTC. cudarc panics where its library cannot be opened, so every function here asks for it first.

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

use cudarc::nvrtc::result::NvrtcError;
use cudarc::nvrtc::sys::{self, nvrtcProgram, nvrtcResult};

use super::{Architecture, Compiled, Cubin, Sources};
use crate::gpu::GpuError;

/// NVRTC's version, major and minor.
pub(super) fn version() -> Result<(u32, u32), GpuError> {
    present()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both are places for one integer.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().map_err(refused("nvrtcVersion"))?;
    Ok((major.unsigned_abs(), minor.unsigned_abs()))
}

/// What NVRTC makes code for, ascending: 90 is sm_90.
pub(super) fn architectures() -> Result<Vec<u32>, GpuError> {
    present()?;
    let mut count = 0;
    // SAFETY: a place for one integer.
    unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) }.result().map_err(refused("nvrtcGetNumSupportedArchs"))?;
    let mut found: Vec<c_int> = vec![0; count.unsigned_abs() as usize];
    // SAFETY: room for as many integers as the call before told.
    unsafe { sys::nvrtcGetSupportedArchs(found.as_mut_ptr()) }.result().map_err(refused("nvrtcGetSupportedArchs"))?;
    Ok(found.into_iter().map(c_int::unsigned_abs).collect())
}

/// Compiles `sources` with exactly `options`.
pub(super) fn compile(sources: &Sources, options: &[String], target: Architecture) -> Result<Compiled, GpuError> {
    open_builtins()?;
    let program = Program::new(sources)?;
    let options: Vec<CString> = options.iter().map(|option| text("an option", option)).collect::<Result<_, _>>()?;
    let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
    // SAFETY: the program is alive; as many strings as said, alive during the call.
    let answer = unsafe { sys::nvrtcCompileProgram(program.0, length(&pointers), pointers.as_ptr()) };
    let log = program.log()?;
    match answer {
        nvrtcResult::NVRTC_SUCCESS => Ok(Compiled { cubin: Cubin { bytes: program.cubin()? }, log }),
        nvrtcResult::NVRTC_ERROR_COMPILATION => {
            Err(GpuError::Compile { name: sources.main.0.to_owned(), architecture: target.to_string(), log })
        }
        code if log.is_empty() => Err(GpuError::Nvrtc { call: "nvrtcCompileProgram", code: format!("{code:?}") }),
        // A wrong option is explained in the log.
        code => Err(GpuError::Nvrtc { call: "nvrtcCompileProgram", code: format!("{code:?}: {log}") }),
    }
}

struct Program(nvrtcProgram);

impl Program {
    fn new(sources: &Sources) -> Result<Self, GpuError> {
        let (name, source) = (text("a source's name", sources.main.0)?, text(sources.main.0, sources.main.1)?);
        let headers = sources.headers.iter();
        let names: Vec<CString> =
            headers.clone().map(|(name, _)| text("a header's name", name)).collect::<Result<_, _>>()?;
        let texts: Vec<CString> = headers.map(|(name, source)| text(name, source)).collect::<Result<_, _>>()?;
        let names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let bodies: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let mut program = std::ptr::null_mut();
        // SAFETY: all strings end in a zero byte and live during the call, which copies them; as many headers as said.
        unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                source.as_ptr(),
                name.as_ptr(),
                length(&bodies),
                bodies.as_ptr(),
                names.as_ptr(),
            )
        }
        .result()
        .map_err(refused("nvrtcCreateProgram"))?;
        Ok(Self(program))
    }

    fn log(&self) -> Result<String, GpuError> {
        let mut size = 0;
        // SAFETY: the program is alive; a place for one size.
        unsafe { sys::nvrtcGetProgramLogSize(self.0, &mut size) }
            .result()
            .map_err(refused("nvrtcGetProgramLogSize"))?;
        let mut log = vec![0_u8; size];
        // SAFETY: as above; room for as many bytes as the call before told.
        unsafe { sys::nvrtcGetProgramLog(self.0, log.as_mut_ptr().cast()) }
            .result()
            .map_err(refused("nvrtcGetProgramLog"))?;
        Ok(String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_owned())
    }

    fn cubin(&self) -> Result<Vec<u8>, GpuError> {
        let mut size = 0;
        // SAFETY: the program is alive; a place for one size.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &mut size) }.result().map_err(refused("nvrtcGetCUBINSize"))?;
        let mut code = vec![0_u8; size];
        // SAFETY: as above; room for as many bytes as the call before told.
        unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()) }.result().map_err(refused("nvrtcGetCUBIN"))?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `nvrtcCreateProgram` and destroyed once. It can only refuse a handle that is none.
        let _ = unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

/// NVRTC is 110 MB: whether it is there is asked once.
fn present() -> Result<(), GpuError> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    // SAFETY: opening the vendor's library runs only its own initialisers; nothing is called in it yet.
    if *PRESENT.get_or_init(|| unsafe { sys::is_culib_present() }) { Ok(()) } else { Err(GpuError::NoNvrtc) }
}

/// NVRTC opens a second library by its bare name when it first compiles. The loader does not look for that where it
/// found NVRTC: the path in our binary counts only for what the binary opens itself. So the binary opens it first, and
/// the loader then knows it by name. Where that fails, NVRTC says so itself.
fn open_builtins() -> Result<(), GpuError> {
    static OPENED: OnceLock<()> = OnceLock::new();
    let (major, minor) = version()?;
    let name = text("the name of a library", &format!("libnvrtc-builtins.so.{major}.{minor}"))?;
    OPENED.get_or_init(|| {
        // SAFETY: a name that ends in a zero byte; opening the vendor's library runs only its own initialisers. It is
        // never closed.
        unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    });
    Ok(())
}

fn text(what: &str, content: &str) -> Result<CString, GpuError> {
    CString::new(content).map_err(|_| GpuError::ZeroByte { what: what.to_owned() })
}

fn length<T>(list: &[T]) -> c_int {
    c_int::try_from(list.len()).expect("a handful of headers and options")
}

fn refused(call: &'static str) -> impl Fn(NvrtcError) -> GpuError {
    move |NvrtcError(code)| GpuError::Nvrtc { call, code: format!("{code:?}") }
}
