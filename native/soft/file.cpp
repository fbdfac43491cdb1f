// SPDX-License-Identifier: MIT
#include "soft/file.h"

#include <errno.h>

#include <atomic>

#include "soft/device_impl.h"
#include "soft/gem_object.h"

namespace i915u::soft {

namespace {
const sync::LockClass file_class{"drm_file.table_lock"};
std::atomic<uint64_t> files{0};
}  // namespace

File::File(SoftDevice& d, Gpu& g) : dev(d), gpu(g), id(++files), lock(file_class), contexts(g) {}

// The driver's order (drm_file_free): objects, then contexts and address spaces (postclose), and
// syncobjs; what is busy keeps what it needs.
File::~File() {
  std::vector<uint32_t> handles;
  objects.for_each([&](uint32_t h, const std::shared_ptr<Object>&) { handles.push_back(h); });
  for (uint32_t h : handles) close_handle(h);
  contexts.close();
  vms.close();
  dev.impl->card->dmabufs.reap();
}

std::shared_ptr<Object> File::lookup(uint32_t handle) {
  sync::Guard g(lock);
  return objects.find(handle);
}

std::shared_ptr<Syncobj> File::lookup_syncobj(uint32_t handle) {
  sync::Guard g(lock);
  return syncobjs.find(handle);
}

int File::add_handle(std::shared_ptr<Object> obj, uint32_t* handle) {
  obj->handles++;
  sync::Guard g(lock);
  *handle = objects.add(std::move(obj));
  return 0;
}

int File::close_handle(uint32_t handle) {
  std::shared_ptr<Object> obj;
  bool exported = false;
  {
    sync::Guard g(lock);
    obj = objects.remove(handle);
    if (!obj) return -EINVAL;
    const auto it = prime_inode.find(handle);
    if (it != prime_inode.end()) {
      exported = true;
      prime_handle.erase(it->second);
      prime_inode.erase(it);
    }
  }
  if (GemObject* gem = to_gem(*obj)) gem->revoke_mmap(*this);
  if (--obj->handles == 0) obj->handles_gone();
  obj.reset();
  if (exported) dev.impl->card->dmabufs.reap();
  return 0;
}

}  // namespace i915u::soft
