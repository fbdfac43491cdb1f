// SPDX-License-Identifier: MIT
#include "vgpu/trace/trace.h"

#include <cerrno>
#include <cstdarg>

#include "vgpu/clock.h"

namespace i915u::vgpu {

namespace {

using ull = unsigned long long;

}  // namespace

Trace::~Trace() {
  if (file_) fclose(file_);
}

int Trace::open(const std::string& path) {
  file_ = fopen(path.c_str(), "we");
  if (!file_) return -errno;
  setvbuf(file_, nullptr, _IOFBF, 1 << 16);
  json_ = path.ends_with(".ndjson");
  start_ = now_ns();
  return 0;
}

void Trace::line(const char* format, ...) {
  const double t = static_cast<double>(now_ns() - start_) / 1e9;
  va_list args;
  va_start(args, format);
  {
    std::lock_guard g(lock_);
    fprintf(file_, json_ ? "{\"t\":%.6f," : "[%12.6f] ", t);
    vfprintf(file_, format, args);
    fputs(json_ ? "}\n" : "\n", file_);
  }
  va_end(args);
}

void Trace::access(bool write, const std::string& name, uint64_t value) {
  if (json_)
    line("\"kind\":\"%s\",\"register\":\"%s\",\"value\":\"0x%llx\"", write ? "write" : "read",
         name.c_str(), ull{value});
  else
    line("%s %s %s 0x%llx", write ? "W" : "R", name.c_str(), write ? "<-" : "->", ull{value});
}

void Trace::engine(const char* engine, const char* what, uint64_t context, uint64_t head,
                   uint64_t tail) {
  line(json_ ? "\"kind\":\"%2$s\",\"engine\":\"%1$s\",\"context\":\"0x%3$llx\",\"head\":%4$llu,"
               "\"tail\":%5$llu"
             : "%1$s %2$s context 0x%3$llx head %4$llu tail %5$llu",
       engine, what, ull{context}, ull{head}, ull{tail});
}

void Trace::status(const char* engine, uint32_t event, uint32_t context) {
  line(json_ ? "\"kind\":\"status\",\"engine\":\"%s\",\"event\":\"0x%x\",\"context\":\"0x%x\""
             : "%s status 0x%x context 0x%x",
       engine, event, context);
}

void Trace::batch(const char* engine, uint64_t addr, const std::string& disassembly) {
  if (!json_) {
    line("%s batch at 0x%llx\n%s", engine, ull{addr}, disassembly.c_str());
    return;
  }
  std::string commands;
  for (size_t at = 0; at < disassembly.size();) {
    size_t end = disassembly.find('\n', at);
    if (end == std::string::npos) end = disassembly.size();
    if (!commands.empty()) commands += ',';
    commands += '"' + disassembly.substr(at, end - at) + '"';  // it has no quotes, no backslashes
    at = end + 1;
  }
  line("\"kind\":\"batch\",\"engine\":\"%s\",\"address\":\"0x%llx\",\"commands\":[%s]", engine,
       ull{addr}, commands.c_str());
}

void Trace::note(const char* what) {
  line(json_ ? "\"kind\":\"%s\"" : "%s", what);
}

}  // namespace i915u::vgpu
