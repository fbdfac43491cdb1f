// SPDX-License-Identifier: MIT
// Opening, closing and the way of an ioctl (kernel: drm_ioctl.c, i915_driver.c), as a render node.
// The driver's algorithm: which numbers there are and which of them a render node may use, how a
// struct of another size than ours is taken, what is copied when.
// Changed on purpose: ioctls of mode setting, masters and old user-space drivers are only told
// apart from those that never were (-EACCES, -EINVAL), as a render node does too.
#include "soft/device.h"

#include <errno.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "mem/uaccess.h"
#include "soft/device_impl.h"
#include "soft/execbuf.h"
#include "soft/file.h"
#include "soft/ioctls.h"
#include "soft/mm/address_space.h"
#include "soft/pool.h"
#include "soft/request.h"
#include "soft/strategies/strategy.h"

namespace i915u::soft {

using namespace uapi;

int64_t file_mmap(File& file, uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset);

namespace {

constexpr unsigned long ioc_in = 1ul << 30, ioc_out = 1ul << 31;

struct Ioctl {
  unsigned long cmd = 0;
  int (*fn)(File&, void*) = nullptr;  // null: there is no such ioctl
  Change since = Change::always;      // ... before this
  Change until = Change::count;       // ... from this on
  bool in(const Gpu& gpu) const {
    return fn && gpu.has(since) && (until == Change::count || !gpu.has(until));
  }
};

template <auto fn, class T>
int call(int (*)(File&, T&), File& file, void* arg) {
  return fn(file, *static_cast<T*>(arg));
}
template <auto fn>
int call(File& file, void* arg) {
  return call<fn>(fn, file, arg);
}

int perf_add_config(File&, void*) {
  return ioctl_perf_add_config();
}
int perf_remove_config(File&, void*) {
  return ioctl_perf_remove_config();
}
int throttle(File& file, void*) {
  return ioctl_throttle(file);
}
int denied(File&, void*) {
  return -EACCES;
}

constexpr auto make_table() {
  std::array<Ioctl, 256> t{};
  const auto deny = [&](unsigned from, unsigned to) {
    for (unsigned nr = from; nr <= to; nr++) t[nr] = {ioc_in | ioc_out, denied};
  };
  const auto directed = [&](unsigned long dir, std::initializer_list<unsigned> numbers) {
    for (unsigned nr : numbers) t[nr].cmd = dir;
  };
  // What the DRM core and i915 have beside what a render node may use. Legacy numbers have an
  // entry in every configuration.
  deny(0x01, 0x0d);
  deny(0x10, 0x2c);
  deny(0x30, 0x3c);
  deny(0x3f, 0x3f);
  deny(0xa0, 0xce);
  deny(0x40 + 0x00, 0x40 + 0x0f);
  deny(0x40 + 0x11, 0x40 + 0x11);
  deny(0x40 + 0x13, 0x40 + 0x2b);  // 0x14: the first EXECBUFFER

  // Of those the ones that do not go both ways: what is refused is copied back all the same.
  directed(ioc_in, {0x08, 0x0d, 0x10, 0x11, 0x14, 0x17, 0x1a, 0x1b, 0x1c, 0x22, 0x24, 0x25, 0x2a,
                    0x2b, 0x2c});
  directed(ioc_out, {0x02, 0x06});
  directed(0, {0x1e, 0x1f});
  for (unsigned nr :
       {0x00, 0x03, 0x05, 0x07, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x11, 0x13, 0x14, 0x16, 0x27})
    directed(ioc_in, {0x40u + nr});
  for (unsigned nr : {0x01, 0x02, 0x19, 0x1a}) directed(0, {0x40u + nr});
  directed(ioc_out, {0x40 + 0x0e});

  // Of user-space mode setting.
  for (unsigned nr : {0x03, 0x04, 0x08, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
                      0x1c, 0x1d, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x29, 0x2a,
                      0x2b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39})
    t[nr].until = Change::no_legacy_ioctls;
  t[0xd0] = {ioc_in | ioc_out, denied, Change::closefb};

  const auto allow = [&](unsigned long cmd, int (*fn)(File&, void*),
                         Change since = Change::always) {
    t[ioc_nr(cmd)] = {cmd, fn, since};
  };
  allow(DRM_IOCTL_VERSION, call<ioctl_version>);
  allow(DRM_IOCTL_GEM_CLOSE, call<ioctl_gem_close>);
  allow(DRM_IOCTL_GET_CAP, call<ioctl_get_cap>);
  allow(DRM_IOCTL_PRIME_HANDLE_TO_FD, call<ioctl_prime_handle_to_fd>);
  allow(DRM_IOCTL_PRIME_FD_TO_HANDLE, call<ioctl_prime_fd_to_handle>);
  allow(DRM_IOCTL_SYNCOBJ_CREATE, call<ioctl_syncobj_create>);
  allow(DRM_IOCTL_SYNCOBJ_DESTROY, call<ioctl_syncobj_destroy>);
  allow(drm_ioc(Dir::RW, 0xc1, sizeof(syncobj_handle_point)), call<ioctl_syncobj_handle_to_fd>);
  allow(drm_ioc(Dir::RW, 0xc2, sizeof(syncobj_handle_point)), call<ioctl_syncobj_fd_to_handle>);
  allow(DRM_IOCTL_SYNCOBJ_WAIT, call<ioctl_syncobj_wait>);
  allow(DRM_IOCTL_SYNCOBJ_RESET, call<ioctl_syncobj_reset>);
  allow(DRM_IOCTL_SYNCOBJ_SIGNAL, call<ioctl_syncobj_signal>);
  allow(DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, call<ioctl_syncobj_timeline_wait>);
  allow(DRM_IOCTL_SYNCOBJ_QUERY, call<ioctl_syncobj_query>);
  allow(DRM_IOCTL_SYNCOBJ_TRANSFER, call<ioctl_syncobj_transfer>);
  allow(DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, call<ioctl_syncobj_timeline_signal>);
  allow(drm_ioc(Dir::RW, 0xcf, sizeof(syncobj_eventfd)), call<ioctl_syncobj_eventfd>,
        Change::syncobj_eventfd);
  allow(drm_ioc(Dir::RW, 0xd1, sizeof(set_client_name)), call<ioctl_set_client_name>,
        Change::client_name);

  allow(DRM_IOCTL_I915_GETPARAM, call<ioctl_getparam>);
  allow(DRM_IOCTL_I915_GEM_EXECBUFFER2_WR, call<ioctl_execbuffer2>);
  allow(DRM_IOCTL_I915_GEM_BUSY, call<ioctl_gem_busy>);
  allow(DRM_IOCTL_I915_GEM_SET_CACHING, call<ioctl_gem_set_caching>);
  allow(DRM_IOCTL_I915_GEM_GET_CACHING, call<ioctl_gem_get_caching>);
  allow(DRM_IOCTL_I915_GEM_THROTTLE, throttle);
  allow(DRM_IOCTL_I915_GEM_CREATE, call<ioctl_gem_create>);
  allow(DRM_IOCTL_I915_GEM_CREATE_EXT, call<ioctl_gem_create_ext>);
  allow(DRM_IOCTL_I915_GEM_PREAD, call<ioctl_gem_pread>);
  allow(DRM_IOCTL_I915_GEM_PWRITE, call<ioctl_gem_pwrite>);
  allow(DRM_IOCTL_I915_GEM_MMAP, call<ioctl_gem_mmap>);
  allow(DRM_IOCTL_I915_GEM_MMAP_OFFSET, call<ioctl_gem_mmap_offset>);
  allow(DRM_IOCTL_I915_GEM_SET_DOMAIN, call<ioctl_gem_set_domain>);
  allow(DRM_IOCTL_I915_GEM_SW_FINISH, call<ioctl_gem_sw_finish>);
  allow(DRM_IOCTL_I915_GEM_SET_TILING, call<ioctl_gem_set_tiling>);
  allow(DRM_IOCTL_I915_GEM_GET_TILING, call<ioctl_gem_get_tiling>);
  allow(DRM_IOCTL_I915_GEM_GET_APERTURE, call<ioctl_gem_get_aperture>);
  allow(DRM_IOCTL_I915_GEM_MADVISE, call<ioctl_gem_madvise>);
  allow(DRM_IOCTL_I915_GEM_WAIT, call<ioctl_gem_wait>);
  allow(DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT, call<ioctl_context_create>);
  allow(DRM_IOCTL_I915_GEM_CONTEXT_DESTROY, call<ioctl_context_destroy>);
  allow(DRM_IOCTL_I915_REG_READ, call<ioctl_reg_read>);
  allow(DRM_IOCTL_I915_GET_RESET_STATS, call<ioctl_get_reset_stats>);
  allow(DRM_IOCTL_I915_GEM_USERPTR, call<ioctl_gem_userptr>);
  allow(DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM, call<ioctl_context_getparam>);
  allow(DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM, call<ioctl_context_setparam>);
  allow(DRM_IOCTL_I915_PERF_OPEN, call<ioctl_perf_open>);
  allow(drm_ioc(Dir::W, 0x40 + 0x37, 72), perf_add_config);
  allow(drm_ioc(Dir::W, 0x40 + 0x38, 8), perf_remove_config);
  allow(DRM_IOCTL_I915_QUERY, call<ioctl_query>);
  allow(DRM_IOCTL_I915_GEM_VM_CREATE, call<ioctl_vm_create>);
  allow(DRM_IOCTL_I915_GEM_VM_DESTROY, call<ioctl_vm_destroy>);
  return t;
}

constexpr std::array<Ioctl, 256> table = make_table();

// A call that uses the file, like fdget() and fdput().
class Use {
 public:
  explicit Use(SoftDeviceImpl& i) : impl_(i) {
    uint64_t users = impl_.users.load(std::memory_order_relaxed);
    while (impl_.open.load(std::memory_order_relaxed) && users && !ok_)
      ok_ = impl_.users.compare_exchange_weak(users, users + 1, std::memory_order_acquire);
  }
  ~Use() {
    if (ok_) put(impl_);
  }
  explicit operator bool() const { return ok_; }
  static void put(SoftDeviceImpl& impl) {
    if (impl.users.fetch_sub(1, std::memory_order_acq_rel) == 1) impl.file.reset();
  }

 private:
  SoftDeviceImpl& impl_;
  bool ok_ = false;
};

}  // namespace

// Exported objects go while the GPU is whole: their end looks at it.
Card::~Card() {
  dmabufs.clear();
  gpu.reset();
}

SoftDevice::SoftDevice() : impl(std::make_unique<SoftDeviceImpl>()) {}

SoftDevice::~SoftDevice() {
  close();
}

std::unique_ptr<SoftDevice> SoftDevice::open(const SoftOptions& given, int* err) {
  SoftOptions options = given;
  Version kernel;
  const bool known = parse_kernel(options.kernel, &kernel);
  if (known && options.strategy.empty())
    options.strategy =
        has_change(kernel, Change::notifier_does_not_wait) ? "interval-nowait" : "interval";
  const StrategyName* s = find_strategy(options.strategy.c_str());
  if (!known || !s) {
    *err = -EINVAL;
    return nullptr;
  }
  auto pool = Pool::make(err);
  if (!pool) return nullptr;
  auto card = std::make_shared<Card>(std::unique_ptr<SoftDevice>(new SoftDevice));
  card->gpu = std::make_unique<Gpu>(options);
  card->gpu->pool = std::move(pool);
  card->device->impl->gpu = card->gpu.get();
  card->device->impl->card = card.get();
  card->gpu->strategy = s->make(*card->gpu);
  return open_file(std::move(card));
}

std::unique_ptr<SoftDevice> SoftDevice::open_file(std::shared_ptr<Card> card) {
  std::unique_ptr<SoftDevice> d(new SoftDevice);
  d->impl->gpu = card->gpu.get();
  d->impl->card = card.get();
  d->impl->file = std::make_unique<File>(*card->device, *card->gpu);
  d->impl->hold = std::move(card);
  d->impl->users = 1;
  d->impl->open = true;
  return d;
}

std::unique_ptr<SoftDevice> SoftDevice::reopen() {
  return open_file(impl->hold);
}

int SoftDevice::close() {
  if (!impl->open.exchange(false)) return -EBADF;
  Use::put(*impl);
  return 0;
}

int SoftDevice::ioctl(unsigned long request, void* arg) {
  Use use(*impl);
  if (!use) return -EBADF;
  const unsigned long cmd = request & 0xffffffff;
  if (ioc_type(cmd) != 'd') return -ENOTTY;
  const Ioctl& ioctl = table[ioc_nr(cmd)];
  if (!ioctl.in(*impl->gpu)) return -EINVAL;

  const size_t in_size = cmd & ioctl.cmd & ioc_in ? ioc_size(cmd) : 0;
  const size_t out_size = cmd & ioctl.cmd & ioc_out ? ioc_size(cmd) : 0;
  const size_t size = std::max({in_size, out_size, ioc_size(ioctl.cmd)});
  alignas(16) char small[128];
  std::unique_ptr<char[]> large;
  char* data = small;
  if (size > sizeof(small)) {
    large.reset(new char[size]);
    data = large.get();
  }
  const uint64_t user = reinterpret_cast<uint64_t>(arg);
  if (in_size && copy_from_user(data, user, in_size)) return -EFAULT;
  if (size > in_size) memset(data + in_size, 0, size - in_size);
  const int ret = ioctl.fn(*impl->file, data);
  sync::lockdep::return_to_user();
  if (out_size && copy_to_user(user, data, out_size)) return -EFAULT;
  return ret;
}

int64_t SoftDevice::mmap(uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) {
  Use use(*impl);
  if (!use) return -EBADF;
  return file_mmap(*impl->file, addr, len, prot, flags, offset);
}

Memory& SoftDevice::memory() {
  return AddressSpace::current();
}

SoftStats SoftDevice::stats() {
  impl->card->dmabufs.reap();
  reap_syncobj_files();
  reap_sync_files();
  impl->gpu->retire();
  const GpuCounters& c = impl->gpu->counters;
  AddressSpace& mm = AddressSpace::current();
  return {.requests = c.requests,
          .batches = c.batches,
          .commands = c.commands,
          .gpu_faults = c.gpu_faults,
          .resets = c.resets,
          .invalidates = mm.notifiers().invalidates(),
          .pins_acquired = mm.pins_acquired(),
          .pins_released = mm.pins_released(),
          .objects = c.objects,
          .object_bytes = c.object_bytes,
          .contexts = c.contexts,
          .vms = c.vms,
          .bindings = c.bindings,
          .fences = c.fences};
}

const SoftOptions& SoftDevice::options() const {
  return impl->gpu->options;
}

void SoftDevice::set_faults(uint32_t faults, uint32_t one_in) {
  impl->gpu->fault_one_in = one_in;
  impl->gpu->faults = faults;
}

bool SoftDevice::fault(Fault f) {
  return impl->gpu->fault(f);
}

Strategy& SoftDevice::strategy() {
  return *impl->gpu->strategy;
}

}  // namespace i915u::soft
