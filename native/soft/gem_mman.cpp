// SPDX-License-Identifier: MIT
// Mapping objects (kernel: i915_gem_mman.c).
// The driver's algorithm: the checks, which kinds of offset there are, and what userptr objects
// are refused.
// Changed on purpose: every kind of mapping is cached memory of the pool's file. The offset of an
// object whose handles are all closed is gone although a mapping of it lives (the driver: -EACCES;
// here: -EINVAL), as a mapping keeps the memory and not the object. And whether an object that is
// not needed has memory to map is asked when it is mapped, not at the first touch.
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "soft/device_impl.h"
#include "soft/file.h"
#include "soft/gem_object.h"
#include "soft/ioctls.h"
#include "soft/mm/address_space.h"
#include "soft/user_extensions.h"

namespace i915u::soft {

using namespace uapi;

int ioctl_gem_mmap(File& file, drm_i915_gem_mmap& args) {
  if (args.flags & ~I915_MMAP_WC) return -EINVAL;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  GemObject* gem = to_gem(*obj);
  if (!gem) return -ENXIO;  // no file of its own behind it
  if (args.offset >= obj->size || args.size > obj->size - args.offset) return -EINVAL;
  std::shared_ptr<PoolPages> pages;
  {
    int err = 0;
    sync::Guard g(obj->lock);
    pages = gem->backing(&err);
    if (!pages) return err;
  }
  // Ordinary pages of a shmem file: page lookup takes them, unlike those of a fake offset.
  const int64_t addr = pages->map(0, args.size, PROT_READ | PROT_WRITE, MAP_SHARED, args.offset);
  if (addr < 0) return static_cast<int>(addr);
  args.addr_ptr = static_cast<uint64_t>(addr);
  return 0;
}

int ioctl_gem_mmap_offset(File& file, drm_i915_gem_mmap_offset& args) {
  if (int err = user_extensions(args.extensions, nullptr, 0, nullptr)) return err;
  if (args.flags > I915_MMAP_OFFSET_FIXED) return -EINVAL;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  GemObject* gem = to_gem(*obj);
  // FIXED is for objects of local memory alone.
  if (!gem || args.flags == I915_MMAP_OFFSET_FIXED) return -ENODEV;
  sync::Guard g(obj->lock);
  return gem->mmap_offset(args.flags, file, &args.offset);
}

namespace {

// Each touch is a SIGBUS, as behind a file's end.
int64_t map_nothing(uint64_t addr, uint64_t len, int prot, int flags) {
  const int fd = memfd_create("i915", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  const int64_t at = AddressSpace::current().mmap(addr, len, prot, flags, fd, 0);
  close(fd);
  return at;
}

int64_t map_object(File& file, uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) {
  uint64_t type, extent;
  if (!GemObject::split_mmap_offset(offset, &type, &extent)) return -EINVAL;
  uint64_t start = 0;
  const auto obj = file.gpu.pool->published(extent, &start);
  if (!obj) return -EINVAL;
  const uint64_t within = extent - start;
  if (within && !file.gpu.has(Change::partial_mmap)) return -EINVAL;
  if (len > obj->size - within) return -EINVAL;
  if (int err = obj->may_mmap(type, file)) return err;
  std::shared_ptr<PoolPages> pages;
  {
    int err = 0;
    sync::Guard g(obj->lock);
    // The first touch would fault the pages in; that cannot be seen here.
    obj->has_pages |= obj->madv == I915_MADV_WILLNEED;
    if (obj->has_pages) pages = obj->backing(&err);
  }
  const int64_t at =
      pages ? pages->map(addr, len, prot, flags, within) : map_nothing(addr, len, prot, flags);
  if (at >= 0) AddressSpace::current().add_pfnmap(static_cast<uint64_t>(at), len);
  return at;
}

}  // namespace

int64_t file_mmap(File& file, uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) {
  if (flags & MAP_ANONYMOUS)  // the descriptor is not looked at
    return AddressSpace::current().mmap(addr, len, prot, flags, -1, static_cast<int64_t>(offset));
  if (!len || offset & 4095) return -EINVAL;
  if (len > UINT64_MAX - 4095) return -ENOMEM;
  return map_object(file, addr, (len + 4095) & ~4095ull, prot, flags, offset);
}

}  // namespace i915u::soft
