// SPDX-License-Identifier: MIT
// PRIME: objects as descriptors (kernel: drm_prime.c, i915_gem_dmabuf.c).
// The driver's algorithm: one dma-buf an object and one handle an object and file, the errnos, and
// that userptr is not exported.
// Changed on purpose: a dma-buf is a memfd that holds the object's memory from its first export on,
// so mmap(2) of it works and DMA_BUF_IOCTL_* do not; the first export waits for the object to be
// idle. Only what this GPU exported is imported: foreign dma-bufs are -EINVAL.
#include <errno.h>
#include <fcntl.h>

#include "soft/device_impl.h"
#include "soft/file.h"
#include "soft/gem_object.h"
#include "soft/ioctls.h"
#include "sync/clock.h"

namespace i915u::soft {

using namespace uapi;

namespace {

// Moves the object into a file of its own, once. A descriptor of it or -errno.
int open_dmabuf(File& file, const std::shared_ptr<Object>& obj, uint32_t flags, uint64_t* inode) {
  for (;;) {
    if (int err = obj->wait(true, sync::forever)) return err;
    // No request can be added while the lock is held; one may have been before.
    sync::Guard g(obj->lock);
    if (obj->busy()) continue;
    int err = 0, own;
    const auto pages = to_gem(*obj)->backing(&err);
    if (!pages) return err;
    if ((err = pages->make_own_file(&own))) return err;
    // How it may be mapped is settled by the first export.
    return file.dev.impl->card->dmabufs.open(own, flags & DRM_RDWR ? O_RDWR : O_RDONLY,
                                             flags & DRM_CLOEXEC, obj, inode);
  }
}

}  // namespace

int ioctl_prime_handle_to_fd(File& file, drm_prime_handle& args) {
  if (args.flags & ~(DRM_CLOEXEC | DRM_RDWR)) return -EINVAL;
  const auto obj = file.lookup(args.handle);
  if (!obj) return -ENOENT;
  if (obj->is_userptr()) return -EINVAL;  // "Exporting userptr no longer allowed"
  file.dev.impl->card->dmabufs.reap();
  uint64_t inode;
  const int fd = open_dmabuf(file, obj, args.flags, &inode);
  if (fd < 0) return fd;
  sync::Guard g(file.lock);
  if (file.objects.find(args.handle) == obj) {
    file.prime_handle.insert_or_assign(inode, args.handle);
    file.prime_inode.insert_or_assign(args.handle, inode);
  }
  args.fd = fd;
  return 0;
}

int ioctl_prime_fd_to_handle(File& file, drm_prime_handle& args) {
  int err;
  uint64_t inode;
  auto obj =
      std::static_pointer_cast<Object>(file.dev.impl->card->dmabufs.find(args.fd, &inode, &err));
  if (!obj) return err;
  sync::Guard g(file.lock);
  const auto known = file.prime_handle.find(inode);
  if (known != file.prime_handle.end()) {
    args.handle = known->second;
    return 0;
  }
  obj->handles++;
  args.handle = file.objects.add(std::move(obj));
  file.prime_handle.emplace(inode, args.handle);
  file.prime_inode.emplace(args.handle, inode);
  return 0;
}

}  // namespace i915u::soft
