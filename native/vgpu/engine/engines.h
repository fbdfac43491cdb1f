// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "vgpu/engine/engine.h"

namespace i915u::vgpu {

constexpr uint32_t all_engines = (1u << num_engines) - 1;

class Engines {
 public:
  explicit Engines(Hardware& hw) {
    for (int i = 0; i < num_engines; i++)
      engines_[i] = std::make_unique<Engine>(static_cast<EngineId>(i), hw);
  }
  Engine& operator[](int id) { return *engines_[id]; }

 private:
  std::unique_ptr<Engine> engines_[num_engines];
};

/// Engines stand still while it lives. It waits for a slice of each, which is bounded, never for a
/// batch. Only the link's thread makes one, and one at a time.
class Pause {
 public:
  explicit Pause(Engines& engines, uint32_t mask = all_engines) : engines_(engines), mask_(mask) {
    for (int i = 0; i < num_engines; i++)
      if (mask_ >> i & 1) engines_[i].hold();
  }
  ~Pause() {
    for (int i = 0; i < num_engines; i++)
      if (mask_ >> i & 1) engines_[i].release();
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  Engines& engines_;
  const uint32_t mask_;
};

}  // namespace i915u::vgpu
