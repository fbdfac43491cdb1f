// SPDX-License-Identifier: MIT
// What the command streamer of one context sees of the machine: the context's address space.
// i915 maps a scratch page wherever nothing is bound, so a stray access reads zeros or is dropped;
// it is counted as a fault all the same. Writes to read-only bindings are dropped, as the PTE has
// it.
#pragma once

#include <cstdint>
#include <memory>

#include "gpu/command_streamer.h"

namespace i915u::soft {

class Engine;
class Pages;
class Request;
class Vma;

class BatchRunner final : public gpu::Bus {
 public:
  explicit BatchRunner(Engine& engine);

  /// Before start_batch(). `hold_last`: the last small write stays behind until flush_held().
  void attach(Request& rq, bool hold_last);
  void flush_held();
  void detach();

  bool read(gpu::Space space, uint64_t addr, void* to, size_t len) override;
  bool write(gpu::Space space, uint64_t addr, const void* from, size_t len) override;
  Exchange compare_exchange(gpu::Space space, uint64_t addr, uint64_t* expected, uint64_t desired,
                            size_t len) override;
  uint64_t timestamp() override;

  gpu::CommandStreamer cs;
  uint64_t counted = 0;  ///< commands that have gone to the GPU's counters

 private:
  const Vma* find(uint64_t addr);
  Engine& engine_;
  Request* rq_ = nullptr;
  const Vma* last_ = nullptr;
  bool hold_last_ = false;
  struct Held {
    std::shared_ptr<Pages> pages;
    uint64_t offset = 0;
    uint8_t data[8] = {};
    size_t len = 0;
  } held_;
};

}  // namespace i915u::soft
