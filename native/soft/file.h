// SPDX-License-Identifier: MIT
// One open file of the GPU (kernel: drm_file and drm_i915_file_private): its handles.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "soft/context.h"
#include "soft/handles.h"
#include "soft/object.h"
#include "soft/vm.h"
#include "sync/mutex.h"

namespace i915u::soft {

struct Gpu;
class Syncobj;

struct File {
  /// `dev` is the GPU's own device, not the one that was opened: objects keep a reference to it
  /// and may outlive every file.
  File(SoftDevice& dev, Gpu& gpu);
  ~File();  ///< the last use of a closed file is over: its handles go
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  SoftDevice& dev;
  Gpu& gpu;
  const uint64_t id;  ///< never used twice in one process

  /// Guards the tables of handles (kernel: table_lock, syncobj_table_lock, prime.lock). Nothing is
  /// locked inside it.
  sync::Mutex lock;

  std::shared_ptr<Object> lookup(uint32_t handle);
  /// 0 or -ENOMEM. The lowest free handle, from 1.
  int add_handle(std::shared_ptr<Object>, uint32_t* handle);
  /// 0 or -EINVAL.
  int close_handle(uint32_t handle);

  std::shared_ptr<Syncobj> lookup_syncobj(uint32_t handle);

  ContextTable contexts;
  VmTable vms;

  HandleTable<Object> objects;
  HandleTable<Syncobj> syncobjs;
  /// What was exported from or imported into this file: inode of the dma-buf to handle and back.
  std::unordered_map<uint64_t, uint32_t> prime_handle;
  std::unordered_map<uint32_t, uint64_t> prime_inode;
};

}  // namespace i915u::soft
