// SPDX-License-Identifier: MIT
#include "vgpu/trace/statistics.h"

#include <cstdarg>
#include <cstdio>

namespace i915u::vgpu {

namespace {

constexpr const char* mistake_names[Statistics::num_mistakes] = {
    "bad_message",    "bad_dma_map", "bad_config_access", "bad_bar_access",  "no_memory",
    "no_translation", "bad_context", "illegal_command",   "special_register"};

}  // namespace

std::string Statistics::json() const {
  std::string out = "{";
  const auto put = [&](const char* name, const std::atomic<uint64_t>& value) {
    if (out.back() != '{') out += ',';
    out += '"';
    out += name;
    out += "\":" + std::to_string(value.load(std::memory_order_relaxed));
  };
#define X(name) put(#name, name);
  I915U_VGPU_COUNTERS(X)
#undef X
  out += ",\"mistakes\":{";
  for (int i = 0; i < num_mistakes; i++) put(mistake_names[i], mistakes[i]);
  return out + "}}";
}

void Statistics::mistake(Mistake kind, const char* format, ...) {
  const uint64_t n = mistakes[kind].fetch_add(1, std::memory_order_relaxed) + 1;
  if (n > 16 && (n & (n - 1))) return;  // then only at the powers of two
  char text[256];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "i915-vgpu: %s (%llu): %s\n", mistake_names[kind],
          static_cast<unsigned long long>(n), text);
}

}  // namespace i915u::vgpu
