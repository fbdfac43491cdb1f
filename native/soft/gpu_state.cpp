// SPDX-License-Identifier: MIT
#include "soft/gpu_state.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "soft/engine.h"
#include "soft/mm/address_space.h"
#include "sync/clock.h"

namespace i915u::soft {
namespace {

const sync::LockClass notifier_lock_class{"i915->mm.notifier_lock"};
const sync::LockClass atomics_lock_class{"gpu->atomics"};
const sync::LockClass wq_class{"i915->wq"};

Version kernel_of(const SoftOptions& o) {
  Version kernel = era_kernels[0];
  parse_kernel(o.kernel, &kernel);
  return kernel;
}

bool capable(unsigned cap) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data)) return false;
  return data[cap / 32].effective >> cap % 32 & 1;
}

// splitmix64: neighbouring seeds and draws give unrelated numbers.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

}  // namespace

bool capable_sys_admin() {
  return capable(CAP_SYS_ADMIN);
}
bool capable_sys_nice() {
  return capable(CAP_SYS_NICE);
}

Gpu::Gpu(const SoftOptions& o)
    : options(o),
      kernel(kernel_of(o)),
      faults(o.faults),
      fault_one_in(o.fault_one_in),
      atomics_lock(atomics_lock_class),
      notifier_lock_(notifier_lock_class),
      wq_("i915", wq_class),
      retire_work_(std::make_shared<sync::WorkQueue::Work>([this] { retire(); })) {
  for (uint32_t i = 0; i < num_engines; i++)
    engines[i] = std::make_unique<Engine>(*this, static_cast<EngineId>(i));
}

Gpu::~Gpu() {
  // What a closed file left behind, and is short, ends by itself.
  constexpr uint64_t grace_ns = 100000000;
  const uint64_t until = sync::now_ns() + std::min(grace_ns, options.hang_ns);
  for (auto& e : engines)
    while (!e->idle() && sync::now_ns() < until) sync::sleep_ns(200000);
  for (auto& e : engines) e->stop();
  for (auto& e : engines) e->join();
  wq_.flush_all();
  retire();
}

bool Gpu::fault(Fault f) {
  if (!(faults.load(std::memory_order_relaxed) & f)) return false;
  const uint32_t one_in = fault_one_in.load(std::memory_order_relaxed);
  if (one_in <= 1) return true;
  const uint64_t draw = fault_draws_.fetch_add(1, std::memory_order_relaxed);
  return mix(options.seed ^ mix(draw)) % one_in == 0;
}

Mm& Gpu::mm() {
  return AddressSpace::current();
}

void Gpu::retire() {
  for (auto& e : engines) e->retire();
}

void Gpu::queue_retire() {
  wq_.queue(retire_work_);
}

}  // namespace i915u::soft
