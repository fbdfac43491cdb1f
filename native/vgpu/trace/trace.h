// SPDX-License-Identifier: MIT
// What happens in the device, one line each: registers by name, submissions, contexts, user
// batches decoded, interrupts. Text, or NDJSON where the file's name ends in .ndjson.
#pragma once

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

namespace i915u::vgpu {

class Trace {
 public:
  Trace() = default;
  ~Trace();
  /// -errno. Without it, on() is false and nothing may be written.
  int open(const std::string& path);
  bool on() const { return file_ != nullptr; }

  void access(bool write, const std::string& name, uint64_t value);
  /// Of an engine: `what` is "submit", "load", "complete" and the like.
  void engine(const char* engine, const char* what, uint64_t context, uint64_t head, uint64_t tail);
  void status(const char* engine, uint32_t event, uint32_t context);
  void batch(const char* engine, uint64_t addr, const std::string& disassembly);
  void note(const char* what);

 private:
  void line(const char* format, ...) __attribute__((format(printf, 2, 3)));

  FILE* file_ = nullptr;
  bool json_ = false;
  uint64_t start_ = 0;
  std::mutex lock_;
};

}  // namespace i915u::vgpu
