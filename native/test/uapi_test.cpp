// SPDX-License-Identifier: MIT
// drm/uapi.h against the system's drm.h and i915_drm.h: a C program prints what the headers say of
// each name in the tables, and the answers are compared.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "drm/uapi_table.h"
#include "test/harness.h"

using namespace i915u;

namespace {

constexpr char includes[] =
    "#define _GNU_SOURCE\n#include <stddef.h>\n#include <stdio.h>\n#include <fcntl.h>\n"
    "#include <drm.h>\n#include <i915_drm.h>\n";

struct TempDir {
  char path[32] = "/tmp/i915u-uapi-XXXXXX";
  TempDir() {
    if (!::mkdtemp(path)) path[0] = 0;
  }
  ~TempDir() {
    for (const char* file : {"/t.c", "/t"}) ::unlink((path + std::string(file)).c_str());
    ::rmdir(path);
  }
};

/// The command's output; *status is its exit status.
std::string run(const std::string& command, int* status) {
  std::string out;
  FILE* p = ::popen(command.c_str(), "r");
  if (!p) test::fail(__FILE__, __LINE__, "popen: " + command);
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof(buf), p)) > 0;) out.append(buf, n);
  *status = ::pclose(p);
  return out;
}

std::string compiler(const TempDir& dir, const std::string& source, const std::string& options) {
  std::ofstream(dir.path + std::string("/t.c")) << source;
  const char* cc = ::getenv("CC");
  // Debian: libdrm-dev; elsewhere <drm/...> may be the kernel's own.
  return std::string(cc ? cc : "cc") + " -w $(pkg-config --cflags libdrm 2>/dev/null)" +
         " -I/usr/include/libdrm -I/usr/include/drm " + dir.path + "/t.c " + options;
}

/// The words of the preprocessed headers, macros included.
std::set<std::string> words(const std::string& text) {
  std::set<std::string> w;
  std::string word;
  for (const char c : text + " ") {
    if (isalnum(static_cast<unsigned char>(c)) || c == '_') {
      word += c;
    } else if (!word.empty()) {
      w.insert(std::move(word));
      word.clear();
    }
  }
  return w;
}

std::string line(const char* a, const char* b) {
  return std::string("printf(\"%s%s%s %lld %lld\\n\",\"") + a + (b ? "\",\".\",\"" : "\",\"\",\"") +
         (b ? b : "") + "\",";
}

}  // namespace

TEST(uapi_header_agrees_with_the_systems_header) {
  const TempDir dir;
  CHECK(dir.path[0]);
  int status;
  const auto known =
      words(run(compiler(dir, includes, "-E -dD 2>" + std::string("/dev/null")), &status));
  if (status) {
    const char* require = ::getenv("I915_USERPTR_REQUIRE");
    if (require && !strcmp(require, "1"))
      test::fail(__FILE__, __LINE__, "no C compiler or no drm.h and i915_drm.h");
    SKIP("no C compiler, or no drm.h and i915_drm.h (libdrm-dev)");
  }

  // "name" -> what ours has: two numbers, for a field its offset and size.
  std::map<std::string, std::pair<long long, long long>> ours;
  std::string program = includes;
  program += "int main(void){\n";
  const auto wanted = [&](const char* name) {
    if (known.count(name)) return true;
    printf("# %s is not in the system's header\n", name);
    return false;
  };
  for (const auto& s : uapi::struct_table()) {
    if (!wanted(s.type)) continue;
    ours[s.type] = {s.size, 0};
    program += line(s.type, nullptr) + "(long long)sizeof(struct " + s.type + "),0LL);\n";
    for (const auto& f : uapi::field_table()) {
      if (strcmp(f.type, s.type)) continue;
      ours[std::string(f.type) + "." + f.field] = {f.offset, f.size};
      const std::string t = std::string("struct ") + f.type;
      program += line(f.type, f.field) + "(long long)offsetof(" + t + "," + f.field +
                 "),(long long)sizeof(((" + t + "*)0)->" + f.field + "));\n";
    }
  }
  for (const auto& c : uapi::constant_table()) {
    if (!wanted(c.name)) continue;
    ours[c.name] = {c.value, 0};
    program += line(c.name, nullptr) + "(long long)" + c.name + ",0LL);\n";
  }
  for (const auto& i : uapi::ioctl_table()) {
    if (!wanted(i.name)) continue;
    ours[i.name] = {static_cast<long long>(i.request), 0};
    program += line(i.name, nullptr) + "(long long)" + i.name + ",0LL);\n";
  }
  program += "return 0;}\n";

  const std::string exe = dir.path + std::string("/t");
  const std::string log = run(compiler(dir, program, "-o " + exe + " 2>&1"), &status);
  if (status) test::fail(__FILE__, __LINE__, "the header lacks what is asked of it:\n" + log);
  std::istringstream theirs(run(exe, &status));
  CHECK_EQ(status, 0);

  size_t compared = 0;
  std::string name;
  for (long long a, b; theirs >> name >> a >> b; compared++) {
    CHECK(ours.count(name));
    const auto [x, y] = ours[name];
    if (x != a || y != b)
      test::fail(__FILE__, __LINE__,
                 name + ": ours " + std::to_string(x) + ", " + std::to_string(y) +
                     "; the system's " + std::to_string(a) + ", " + std::to_string(b));
  }
  CHECK_EQ(compared, ours.size());
}

TEST(uapi_table_forgets_no_field) {
  // Where the ABI itself has a hole, each of four bytes.
  const std::set<std::pair<std::string, size_t>> holes = {
      {"drm_version", 12},
      {"drm_i915_getparam", 4},
      {"drm_i915_query_perf_config", 36},
      {"drm_i915_query_perf_config", 44},
      {"drm_i915_gem_create_ext_protected_content", 36},
  };
  for (const auto& s : uapi::struct_table()) {
    size_t end = 0;
    const auto step = [&](size_t offset, const char* where) {
      if (holes.count({s.type, end})) end += 4;
      if (offset > end)
        test::fail(__FILE__, __LINE__,
                   std::string(s.type) + ": nothing covers the bytes before " + where);
    };
    for (const auto& f : uapi::field_table()) {
      if (strcmp(f.type, s.type)) continue;
      step(f.offset, f.field);
      end = std::max(end, f.offset + f.size);
    }
    step(s.size, "its end");
  }
}

TEST(uapi_names_are_unique_and_ioctls_are_found_by_number) {
  std::set<std::string> names;
  for (const auto& c : uapi::constant_table()) CHECK(names.insert(c.name).second);
  for (const auto& i : uapi::ioctl_table()) CHECK(names.insert(i.name).second);
  for (const auto& s : uapi::struct_table()) CHECK(names.insert(s.type).second);
  for (const auto& i : uapi::ioctl_table()) CHECK(uapi::ioctl_name(i.request) != nullptr);
  CHECK(uapi::ioctl_name(0xdeadbeef) == nullptr);
}
