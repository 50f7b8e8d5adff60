// torch's own process groups: TCPStore and Gloo of libtorch_cpu.so, NCCL of libtorch_cuda.so where that is open. See ffi.rs.
#define USE_C10D_GLOO 1
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "../../guarded.hpp"

using metacl::guarded;
using std::chrono::milliseconds;

namespace {
using Store = c10::intrusive_ptr<c10d::Store>;
using Group = c10::intrusive_ptr<c10d::Backend>;

Store &store_of(void *store) { return *static_cast<Store *>(store); }
Group &group_of(void *group) { return *static_cast<Group *>(group); }

// --- NCCL, without a header of CUDA's -------------------------------------------------------------------------------
// c10d::ProcessGroupNCCL is made in place by its exported constructor and from then on called through c10d::Backend, its only base. In
// torch 2.11.0 it takes 1,112 bytes (what its deleting destructor hands to `operator delete(void *, size_t)`), its options less.
constexpr size_t kRoom = 8192;

template <typename Function>
Function *exported(const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) {
    if (void *cuda = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD)) {
      found = dlsym(cuda, name);
    }
  }
  TORCH_CHECK(found != nullptr, "NCCL: libtorch's CUDA half is not open, or not that of torch 2.11");
  return reinterpret_cast<Function *>(found);
}

// An object of `Base`'s descendants, made by `construct(memory)`.
template <typename Base, typename Construct>
c10::intrusive_ptr<Base> made(Construct construct) {
  void *memory = ::operator new(kRoom);
  std::memset(memory, 0, kRoom);
  try {
    construct(memory);
  } catch (...) {
    ::operator delete(memory);
    throw;
  }
  return c10::intrusive_ptr<Base>::unsafe_steal_from_new(static_cast<Base *>(memory));
}

using Options = c10::intrusive_ptr<c10d::Backend::Options>;

Group made_nccl(const Store &store, int rank, int size, milliseconds timeout) {
  auto *options_of = exported<void(void *, bool)>("_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb");
  auto *construct = exported<void(void *, Store, int, int, Options)>(
      "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_type"
      "IS3_EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE");
  auto options = made<c10d::Backend::Options>([&](void *memory) { options_of(memory, false); });
  options->timeout = timeout;
  return made<c10d::Backend>([&](void *memory) { construct(memory, store, rank, size, options); });
}

Group made_gloo(const Store &store, int rank, int size, milliseconds timeout, const char *interface, const char *address) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(interface != nullptr ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                  : c10d::ProcessGroupGloo::createDeviceForHostname(address));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}

using Work = c10::intrusive_ptr<c10d::Work>;

// Waits; with NCCL, torch's current stream does and the host goes on.
void finish(const Work &work) { TORCH_CHECK(work->wait(), "the operation was aborted"); }
}  // namespace

extern "C" {
// --- the store ------------------------------------------------------------------------------------------------------

// Connects to the store at host:port, or with `server` opens it there.
const char *metacl_store_open(const char *host, uint16_t port, int server, int64_t timeout, void **store) {
  return guarded([=] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = server != 0;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout);
    *store = new Store(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

// The same store over a connection of its own.
const char *metacl_store_clone(void *store, void **clone) {
  return guarded([=] { *clone = new Store(store_of(store)->clone()); });
}

void metacl_store_close(void *store) { delete static_cast<Store *>(store); }

const char *metacl_store_set(void *store, const char *key, const uint8_t *bytes, size_t length) {
  return guarded([=] { store_of(store)->set(key, std::vector<uint8_t>(bytes, bytes + length)); });
}

// Adds to a counter that begins at 0; its new value.
const char *metacl_store_add(void *store, const char *key, int64_t by, int64_t *value) {
  return guarded([=] { *value = store_of(store)->add(key, by); });
}

const char *metacl_store_has(void *store, const char *key, int *there) {
  return guarded([=] { *there = store_of(store)->check({key}); });
}

// Waits until somebody sets `key`, and hands its bytes to `take`.
const char *metacl_store_get(void *store, const char *key, int64_t timeout, void *taker,
                             void (*take)(void *taker, const uint8_t *bytes, size_t length)) {
  return guarded([=] {
    store_of(store)->wait({key}, milliseconds(timeout));
    const auto bytes = store_of(store)->get(key);
    take(taker, bytes.data(), bytes.size());
  });
}

// --- process groups -------------------------------------------------------------------------------------------------

// A group on CPU tensors over TCP; it listens at `interface` or, where that is null, at `address`.
const char *metacl_group_gloo(void *store, int rank, int size, int64_t timeout, const char *interface, const char *address,
                              void **group) {
  return guarded([=] {
    const auto prefixed = c10::make_intrusive<c10d::PrefixStore>("gloo", store_of(store));
    *group = new Group(made_gloo(prefixed, rank, size, milliseconds(timeout), interface, address));
  });
}

// A group on CUDA tensors.
const char *metacl_group_nccl(void *store, int rank, int size, int64_t timeout, void **group) {
  return guarded([=] {
    const auto prefixed = c10::make_intrusive<c10d::PrefixStore>("nccl", store_of(store));
    *group = new Group(made_nccl(prefixed, rank, size, milliseconds(timeout)));
  });
}

// Ends what is running where the backend can (NCCL).
const char *metacl_group_abort(void *group) {
  return guarded([=] { group_of(group)->abort(); });
}

const char *metacl_group_close(void *group, int orderly) {
  return guarded([=] {
    const std::unique_ptr<Group> owned(static_cast<Group *>(group));
    if (orderly != 0) {
      (*owned)->shutdown();
    }
  });
}

// `cuda`: the ordinal of the rank's device, or -1.
const char *metacl_group_barrier(void *group, int cuda) {
  return guarded([=] {
    c10d::BarrierOptions options;
    if (cuda >= 0) {
      options.device = c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(cuda));
    }
    finish(group_of(group)->barrier(options));
  });
}

const char *metacl_group_broadcast(void *group, at::Tensor *tensor, int root) {
  return guarded([=] {
    std::vector<at::Tensor> tensors{*tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    finish(group_of(group)->broadcast(tensors, options));
  });
}

const char *metacl_group_all_reduce(void *group, at::Tensor *tensor, int largest) {
  return guarded([=] {
    std::vector<at::Tensor> tensors{*tensor};
    c10d::AllreduceOptions options;
    options.reduceOp = largest != 0 ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
    finish(group_of(group)->allreduce(tensors, options));
  });
}

// `*work` is on its way.
const char *metacl_group_begin_sum(void *group, const at::Tensor *tensor, void **work) {
  return guarded([=] {
    std::vector<at::Tensor> tensors{*tensor};
    *work = new Work(group_of(group)->allreduce(tensors, c10d::AllreduceOptions()));
  });
}

const char *metacl_work_wait(void *work) {
  return guarded([=] { finish(*static_cast<Work *>(work)); });
}

void metacl_work_close(void *work) { delete static_cast<Work *>(work); }

// `all`: as many blocks of `own`'s size as there are ranks; both dense. Without shapes: the backends want different ones.
const char *metacl_group_all_gather(void *group, at::Tensor *all, at::Tensor *own) {
  return guarded([=] {
    at::Tensor to = all->view(-1), from = own->view(-1);
    finish(group_of(group)->_allgather_base(to, from));
  });
}

const char *metacl_group_reduce_scatter(void *group, at::Tensor *own, at::Tensor *all) {
  return guarded([=] {
    at::Tensor to = own->view(-1), from = all->view(-1);
    finish(group_of(group)->_reduce_scatter_base(to, from));
  });
}
}
