// SPDX-License-Identifier: MIT
// What stands behind a SoftDevice.
#pragma once

#include <atomic>
#include <memory>

#include "soft/device.h"
#include "soft/fd_registry.h"
#include "soft/gpu_state.h"

namespace i915u::soft {

struct File;

/// A GPU and what belongs to it but to no file. Objects keep a reference to `device`, which is not
/// open and lives as long as they can: longer than any file.
struct Card {
  explicit Card(std::unique_ptr<SoftDevice> d) : device(std::move(d)) {}
  ~Card();

  std::unique_ptr<SoftDevice> device;
  FdRegistry dmabufs;  ///< of GemObject
  std::unique_ptr<Gpu> gpu;
};

struct SoftDeviceImpl {
  Gpu* gpu = nullptr;
  Card* card = nullptr;
  std::shared_ptr<Card> hold;  ///< null in the card's own device
  std::unique_ptr<File> file;  ///< null in the card's own device, and when the file is closed
  /// Calls that use the file, and 1 while it is open: as close(2), close() leaves the file to a
  /// call that is still in it.
  std::atomic<uint64_t> users{0};
  std::atomic<bool> open{false};
};

inline Gpu& gpu_of(SoftDevice& dev) {
  return *dev.impl->gpu;
}

}  // namespace i915u::soft
