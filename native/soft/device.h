// SPDX-License-Identifier: MIT
// The software i915: what a Skylake GT2 under the i915 of kernel 6.1, or of a later one (eras.h),
// answers.
#pragma once

#include <memory>
#include <string>

#include "drm/device.h"
#include "soft/faults.h"

namespace i915u::soft {

class Strategy;

struct SoftOptions {
  std::string kernel = "6.1";     ///< whose i915 it is: one of era_kernels
  std::string strategy = {};      ///< a StrategyName; none: the kernel's own
  uint32_t faults = 0;            ///< Fault bits
  uint32_t fault_one_in = 1;      ///< a fault strikes in one of so many cases, by chance
  uint64_t seed = 1;              ///< of that chance
  uint64_t hang_ns = 1000000000;  ///< a batch that makes no end for so long is reset
  uint64_t batch_delay_ns = 0;    ///< each user batch takes at least so long
};

/// What the model counts of itself.
struct SoftStats {
  uint64_t requests, batches, commands, gpu_faults, resets, invalidates;
  uint64_t pins_acquired, pins_released;                            ///< pages
  uint64_t objects, object_bytes, contexts, vms, bindings, fences;  ///< alive now
};

struct Card;
struct SoftDeviceImpl;

class SoftDevice final : public Device {
 public:
  /// Null with *err = -EINVAL for an unknown strategy or kernel.
  static std::unique_ptr<SoftDevice> open(const SoftOptions&, int* err);
  ~SoftDevice() override;

  int ioctl(unsigned long request, void* arg) override;
  int64_t mmap(uint64_t addr, uint64_t len, int prot, int flags, uint64_t offset) override;
  Memory& memory() override;
  int close() override;
  int fd() const override { return -1; }
  bool is_soft() const override { return true; }
  /// A second open file of the same GPU (a second open(2) of the node).
  std::unique_ptr<SoftDevice> reopen();

  SoftStats stats();
  const SoftOptions& options() const;
  void set_faults(uint32_t faults, uint32_t one_in);
  /// Does the fault strike now?
  bool fault(Fault f);

  Strategy& strategy();

  std::unique_ptr<SoftDeviceImpl> impl;

 private:
  SoftDevice();
  static std::unique_ptr<SoftDevice> open_file(std::shared_ptr<Card> card);
};

}  // namespace i915u::soft
