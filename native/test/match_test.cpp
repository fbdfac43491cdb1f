// SPDX-License-Identifier: MIT
// The player, over the software device.
#include <sys/mman.h>

#include <cerrno>
#include <cinttypes>
#include <cstdarg>
#include <cstring>
#include <vector>

#include "gpu/emit.h"
#include "match/outcomes.h"
#include "match/player.h"
#include "test/soft_calls.h"

namespace i915u::match {
namespace {

using namespace i915u::test;

std::string format(const char* f, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* f, ...) {
  char text[4096];
  va_list args;
  va_start(args, f);
  vsnprintf(text, sizeof(text), f, args);
  va_end(args);
  return text;
}

std::string hex(const void* data, size_t len) {
  std::string s;
  for (size_t i = 0; i < len; i++) s += format("%02x", static_cast<const uint8_t*>(data)[i]);
  return s;
}
template <class T>
std::string hex(const T& v) {
  return hex(&v, sizeof(v));
}

std::string ioctl(uint64_t request, const std::string& bytes, size_t out, const char* fields = "",
                  uint64_t at = args_at, int file = 0) {
  return format("ioctl f%d 0x%" PRIx64 " 0x%" PRIx64 " ", file, request, at) + bytes +
         format(" %zu%s%s", out, *fields ? " " : "", fields);
}
std::string create(const char* take = "8:4>$0", int file = 0) {
  return ioctl(DRM_IOCTL_I915_GEM_CREATE, hex(drm_i915_gem_create{page, 0, 0}), 16, take, args_at,
               file);
}
std::string map(uint64_t at, uint64_t pages, int prot = PROT_READ | PROT_WRITE) {
  return format("mmap %#" PRIx64 " %" PRIu64 " %d %d - 0", at, pages * page, prot,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
}

class Stage {
 public:
  explicit Stage(const SoftOptions& o = {}) {
    auto device = open_soft(o);
    first = device.get();
    player = std::make_unique<Player>(std::move(device), [this](int*) { return first->reopen(); });
    CHECK_EQ(player->init(), 0);
  }
  /// The answers, a line each. The sequence begins and ends here.
  std::vector<std::string> play(const std::vector<std::string>& ops) {
    player->clear_answers();
    CHECK(player->line("begin 7"));
    for (const auto& op : ops)
      if (!player->line(op)) test::fail(__FILE__, __LINE__, op + ": " + player->answers());
    CHECK(player->line("end"));
    auto lines = answers();
    CHECK_EQ(lines.size(), ops.size() + 1);
    CHECK_EQ(lines.back(), "end 7");
    lines.pop_back();
    return lines;
  }
  std::string play(const std::string& op) { return play(std::vector{op}).front(); }
  std::string leaks() {
    player->clear_answers();
    CHECK(player->line("leaks"));
    return answers().front();
  }
  /// What is said of a line that makes no sense, which comes after `begin`.
  std::string error(const std::string& op) {
    player->clear_answers();
    CHECK(player->line("begin 7"));
    CHECK(!player->line(op));
    const auto lines = answers();
    CHECK(player->line("end"));
    CHECK_EQ(lines.size(), 1u);
    return lines[0];
  }
  std::vector<std::string> answers() const {
    std::vector<std::string> lines;
    std::istringstream in(player->answers());
    for (std::string l; std::getline(in, l);) lines.push_back(l);
    return lines;
  }

  SoftDevice* first;
  std::unique_ptr<Player> player;
};

constexpr uint64_t target_at = 0x4800000, batch_at = 0x4000000;
constexpr uint64_t gate_at = arena_at + (1 << 20);

// $0 a batch in an object that is mapped at gate_at, $1 four pages of the arena, and both
// submitted.
std::vector<std::string> submit(const std::vector<uint32_t>& batch) {
  const auto mapped = drm_i915_gem_mmap_offset{0, 0, 0, I915_MMAP_OFFSET_WB, 0};
  drm_i915_gem_exec_object2 objects[2]{};
  objects[0].offset = target_at;
  objects[0].flags = EXEC_OBJECT_PINNED | EXEC_OBJECT_WRITE;
  objects[1].offset = batch_at;
  objects[1].flags = EXEC_OBJECT_PINNED;
  drm_i915_gem_execbuffer2 exec{};
  exec.buffers_ptr = args_at + 0x1000;
  exec.buffer_count = 2;
  exec.flags = I915_EXEC_RENDER;
  return {
      create(),
      ioctl(DRM_IOCTL_I915_GEM_MMAP_OFFSET, hex(mapped), 0, "0:4=$0 8:8>$5"),
      format("gmap f0 %#" PRIx64 " 4096 3 %d $5", gate_at, MAP_SHARED | MAP_FIXED),
      map(arena_at, 4),
      ioctl(DRM_IOCTL_I915_GEM_USERPTR, hex(drm_i915_gem_userptr{arena_at, 4 * page, 0, 0}), 24,
            "20:4>$1"),
      format("write %#" PRIx64 " ", gate_at) + hex(batch.data(), batch.size() * 4),
      format("write %#" PRIx64 " ", args_at + 0x1000) + hex(objects) + " 0:4=$1 56:4=$0",
      ioctl(DRM_IOCTL_I915_GEM_EXECBUFFER2, hex(exec), 0),
  };
}
std::string wait_for_batch() {
  return ioctl(DRM_IOCTL_I915_GEM_WAIT, hex(drm_i915_gem_wait{0, 0, -1}), 0, "0:4=$0");
}

}  // namespace

TEST(a_line_of_a_sequence_that_makes_no_sense_is_an_error) {
  Stage s;
  for (const char* line : {"",
                           "nonsense",
                           "read",
                           "read 1",
                           "read 1 2 3",
                           "read x 1",
                           "read 0x 1",
                           "read 1  2",
                           "close 0",
                           "close f16",
                           "close f",
                           "read $64 1",
                           "write 0 0",
                           "write 0 0g",
                           "@4 read 0 1",
                           "@0",
                           "@0 close f0",
                           "@0 join 1",
                           "fork",
                           "ioctl f0 1 2 - 0 0:3=$0",
                           "ioctl f0 1 2 - 0 0:4",
                           "ioctl f0 1 2 - 0 0:4=$64",
                           "ioctl f0 1 2 - 0 0:4=f16",
                           "ioctl f0 1 2 - 0 16385:4=$0",
                           "begin 1",
                           "leaks"})
    if (!s.error(line).starts_with("error "))
      test::fail(__FILE__, __LINE__, std::string(line) + ": " + s.error(line));
  CHECK(s.error("write 0 " + std::string(2 * max_bytes + 2, '0')).starts_with("error "));
  for (const char* line : {"end", "read 0 1", "begin", "begin ", "nonsense"}) {
    s.player->clear_answers();
    CHECK(!s.player->line(line));
    CHECK_EQ(s.answers().front(), "error no sequence has begun");
  }
}

TEST(a_sequence_has_its_bounds) {
  Stage s;
  CHECK(s.player->line("begin 1"));
  for (unsigned i = 0; i < max_ops; i++) CHECK(s.player->line("read 0 1"));
  CHECK(!s.player->line("read 0 1"));
  CHECK(s.player->line("end"));
  CHECK_EQ(s.play(format("read %#" PRIx64 " %zu", args_at, max_bytes)).size(), 2 + 2 * max_bytes);
  for (const auto& op :
       {format("read %#" PRIx64 " %zu", args_at, max_bytes + 1),
        format("sum %#" PRIx64 " %d", arena_at, (max_sum_pages + 1) * 4096),
        ioctl(DRM_IOCTL_I915_GEM_CREATE, "-", max_bytes + 1), std::string("memfd f4 0x100000000"),
        std::string("fallocate f4 0 0 "
                    "0x10000000")})
    CHECK_EQ(s.play(op), "refused");
}

TEST(what_would_touch_other_memory_or_the_machine_is_refused) {
  Stage s;
  int here = 0;
  const auto own = reinterpret_cast<uint64_t>(&here) & ~4095ull;
  const uint64_t end = arena_at + arena_size;
  const auto op = [](const char* name, uint64_t at, const char* rest) {
    return format("%s %#" PRIx64 " %s", name, at, rest);
  };
  for (const uint64_t at :
       std::vector<uint64_t>{own, end, arena_at - page, end - page + 1, ~0ull - 4095})
    for (const auto& refused :
         {op("munmap", at, "8192"), op("mprotect", at, "8192 0"), op("madvise", at, "8192 4"),
          op("mlock", at, "8192"), op("munlock", at, "8192"), op("mmap", at, "8192 3 50 - 0"),
          op("mremap", at, "8192 8192 0 0"),
          op("mremap", arena_at, "8192 8192 3 ") + std::to_string(at)})
      if (s.play(refused) != "refused")
        test::fail(__FILE__, __LINE__, refused + ": " + s.play(refused));
  for (const auto& refused : {op("munmap", args_at, "4096"),
                              op("mprotect", args_at, "4096 0"),
                              op("write", own, "00"),
                              op("read", own, "1"),
                              op("sum", own, "4096"),
                              op("poll", own, "0 0"),
                              op("fork", own, "00"),
                              op("write", end - 1, "0000"),
                              op("read", own, "-1"),
                              op("munmap", arena_at, "-1"),
                              op("munmap", arena_at, "0x10001000"),
                              op("mmap", arena_at, "4096 3 34 - 0"),         // no MAP_FIXED
                              op("mmap", arena_at, "4096 3 306 - 0"),        // MAP_GROWSDOWN
                              op("mmap", end - page, "4096 3 0x40032 - 0"),  // MAP_HUGETLB
                              op("mremap", arena_at, "4096 8192 1 0"),       // MREMAP_MAYMOVE
                              op("madvise", arena_at, "4096 100"),
                              op("madvise", arena_at, "4096 101"),
                              ioctl(DRM_IOCTL_I915_GEM_CREATE, "-", 0, "", own),
                              std::string("join 0"),
                              std::string("join 4"),
                              std::string("blocked 1 0"),
                              std::string("hold 8")})
    if (s.play(refused) != "refused")
      test::fail(__FILE__, __LINE__, refused + ": " + s.play(refused));
  CHECK_EQ(here, 0);
}

TEST(a_userptr_of_the_arena_can_be_made_and_not_read) {
  Stage s;
  const auto userptr = [](uint32_t flags) {
    return ioctl(DRM_IOCTL_I915_GEM_USERPTR, hex(drm_i915_gem_userptr{arena_at, page, flags, 0}),
                 24, "20:4>$1");
  };
  const auto said = s.play({map(arena_at, 1), userptr(0), userptr(0x40),
                            ioctl(DRM_IOCTL_GEM_CLOSE, hex(drm_gem_close{}), 8, "0:4=$1"),
                            ioctl(DRM_IOCTL_GEM_CLOSE, hex(drm_gem_close{}), 8, "0:4=$1"),
                            ioctl(DRM_IOCTL_GEM_CLOSE, hex(drm_gem_close{}), 8, "0:4=$2")});
  CHECK_EQ(said[0], std::to_string(arena_at));
  CHECK_EQ(said[1], "0 " + hex(drm_i915_gem_userptr{arena_at, page, 0, 1}));
  CHECK_EQ(said[2], "-22 " + hex(drm_i915_gem_userptr{arena_at, page, 0x40, 0}));
  CHECK_EQ(said[3], "0 0100000000000000");
  CHECK_EQ(said[4], "-22 0100000000000000");
  CHECK_EQ(said[5], "-22 f0ffffff00000000");
}

TEST(a_batch_stores_to_memory_that_is_read_and_summed) {
  Stage s;
  gpu::Emit e(gpu::Gen::gen9);
  e.store_dword(target_at + 8, 0xcafe0001);
  e.batch_end();
  auto ops = submit(e.dwords());
  const size_t n = ops.size();
  for (const auto& op :
       {wait_for_batch(), format("read %#" PRIx64 " 12", arena_at),
        format("sum %#" PRIx64 " 20480", arena_at),
        format("mprotect %#" PRIx64 " 4096 0", arena_at), format("read %#" PRIx64 " 1", arena_at),
        format("write %#" PRIx64 " 00", arena_at), format("sum %#" PRIx64 " 4096", arena_at)})
    ops.push_back(op);
  const auto said = s.play(ops);
  CHECK_EQ(said[7], "0");
  CHECK_EQ(said[n], "0");
  CHECK_EQ(said[n + 1], "0 00000000000000000100feca");
  std::istringstream sum(said[n + 2]);
  std::string ret, stored, zero, other, fourth, hole;
  sum >> ret >> stored >> zero >> other >> fourth >> hole;
  CHECK_EQ(zero, "0000000000000000");
  CHECK_EQ(other, zero);
  CHECK_EQ(hole, "fault");
  CHECK(stored != zero);
  CHECK_EQ(said[n + 4], "-14");
  CHECK_EQ(said[n + 5], "-14");
  CHECK_EQ(said[n + 6], "0 fault");
  CHECK_EQ(s.leaks(), "leaks pins=0 objects=0 fds=0 children=0");
}

TEST(argument_memory_that_is_not_there_is_efault_and_told) {
  Stage s;
  const auto gem = hex(drm_i915_gem_create{page, 0, 0});
  for (const uint64_t at : {uint64_t{0}, arena_at, uint64_t{0xffff800000000000}}) {
    CHECK_EQ(s.play(ioctl(DRM_IOCTL_I915_GEM_CREATE, "-", 0, "", at)), "-14");
    CHECK_EQ(s.play(ioctl(DRM_IOCTL_I915_GEM_CREATE, gem, 16, "", at)), "-14 fault unwritten");
  }
  // The call can read its struct, and not write it.
  const auto said =
      s.play({map(arena_at, 1), format("write %#" PRIx64 " ", arena_at) + gem,
              format("mprotect %#" PRIx64 " 4096 1", arena_at),
              ioctl(DRM_IOCTL_I915_GEM_CREATE, "-", 16, "8:4>$0", arena_at), create()});
  CHECK_EQ(said[3], "-14 " + gem);
  CHECK_EQ(said[4], "0 " + hex(drm_i915_gem_create{page, 2, 0}));  // handle 1 was made
}

TEST(a_sequence_begins_with_empty_slots_arguments_and_arena) {
  Stage s;
  const std::vector<std::string> ops{
      create(),        map(arena_at, 1), format("write %#" PRIx64 " 01", args_at + 0x3f000),
      "memfd f4 4096", "open f1",        create("8:4>$1", 1)};
  s.play(ops);
  const auto said = s.play({format("read %#" PRIx64 " 1", args_at + 0x3f000),
                            format("read %#" PRIx64 " 1", arena_at),
                            ioctl(DRM_IOCTL_GEM_CLOSE, hex(drm_gem_close{}), 4, "0:4=$0"),
                            "close f4", "close f1", create()});
  CHECK_EQ(said[0], "0 00");
  CHECK_EQ(said[1], "-14");
  CHECK_EQ(said[2], "-22 f0ffffff");
  CHECK_EQ(said[3], "-9");
  CHECK_EQ(said[4], "-9");
  CHECK_EQ(said[5], "0 " + hex(drm_i915_gem_create{page, 1, 0}));
}

TEST(a_descriptor_goes_into_a_file_slot_and_is_not_told) {
  Stage s;
  const auto said = s.play({create(),
                            ioctl(DRM_IOCTL_PRIME_HANDLE_TO_FD,
                                  hex(drm_prime_handle{0, DRM_RDWR, -1}), 12, "0:4=$0 8:4>f5"),
                            format("mmap %#" PRIx64 " 4096 3 17 f5 0", arena_at),
                            format("write %#" PRIx64 " ab", arena_at), "open f1",
                            ioctl(DRM_IOCTL_PRIME_FD_TO_HANDLE, hex(drm_prime_handle{0, 0, 0}), 12,
                                  "8:4=f5 0:4>$1", args_at, 1),
                            ioctl(DRM_IOCTL_PRIME_FD_TO_HANDLE, hex(drm_prime_handle{0, 0, 0}), 12,
                                  "8:4=f0", args_at, 1),
                            "close f5", "close f5",
                            ioctl(DRM_IOCTL_PRIME_FD_TO_HANDLE, hex(drm_prime_handle{0, 0, 0}), 12,
                                  "8:4=f5", args_at, 1)});
  CHECK_EQ(said[1], "0 " + hex(drm_prime_handle{1, DRM_RDWR, 0}));
  CHECK_EQ(said[5], "0 " + hex(drm_prime_handle{1, 0, 0}));
  CHECK_EQ(said[6], "-22 " + hex(drm_prime_handle{0, 0, 0}));
  CHECK_EQ(said[7], "0");
  CHECK_EQ(said[8], "-9");
  CHECK_EQ(said[9].substr(0, 3), "-9 ");
  CHECK_EQ(s.leaks(), "leaks pins=0 objects=0 fds=0 children=0");
}

TEST(a_call_that_waits_for_the_gpu_is_seen_to_and_ends_with_the_batch) {
  Stage s;
  gpu::Emit e(gpu::Gen::gen9);
  const uint64_t started = batch_at + page - 64;
  gpu::Spinner spin;
  CHECK_EQ(e.spinner(batch_at, &spin, &started), 0);
  e.store_dword(target_at, 0x12345678);
  e.batch_end();
  auto ops = submit(e.dwords());
  const size_t n = ops.size();
  const std::string change = format("munmap %#" PRIx64 " 16384", arena_at);
  for (const auto& op :
       {format("poll %#" PRIx64 " 1 8000", gate_at + page - 64), "@2 " + change,
        std::string("blocked 2 8000"), "@2 " + change, std::string("@1 poll 0 0 0"),
        std::string("join 1"), std::string("blocked 1 0"),
        format("write %#" PRIx64 " ", gate_at + 4 * static_cast<uint64_t>(spin.end)) +
            hex(gpu::spinner_end),
        std::string("join 2"), std::string("join 2"), wait_for_batch()})
    ops.push_back(op);
  const auto said = s.play(ops);
  const std::vector<std::string> expected{
      "0", "started", "blocked", "refused", "started", "-14", "refused", "0", "0", "refused", "0"};
  for (size_t i = 0; i < expected.size(); i++) CHECK_EQ(said[n + i], expected[i]);
  CHECK_EQ(s.leaks(), "leaks pins=0 objects=0 fds=0 children=0");
}

TEST(a_thread_nobody_joined_is_joined_at_the_end) {
  Stage s;
  const auto said = s.play({"@0 " + map(arena_at, 1), "@3 sum 0 4096"});
  CHECK_EQ(said[0], "started");
  CHECK_EQ(said[1], "started");
  CHECK_EQ(s.play(format("read %#" PRIx64 " 1", arena_at)), "-14");
}

TEST(a_fork_writes_to_its_own_or_to_shared_memory) {
  Stage s;
  const auto said = s.play({map(arena_at, 1), format("fork %#" PRIx64 " aabb", arena_at),
                            format("read %#" PRIx64 " 2", arena_at), "memfd f4 4096",
                            format("mmap %#" PRIx64 " 4096 3 17 f4 0", arena_at + page),
                            format("fork %#" PRIx64 " aabb", arena_at + page),
                            format("read %#" PRIx64 " 2", arena_at + page), "fork 0 aa", "fork -",
                            "hold 1", "hold 1", "release 1", "release 1", "hold 2"});
  CHECK_EQ(said[1], "0");
  CHECK_EQ(said[2], "0 0000");
  CHECK_EQ(said[5], "0");
  CHECK_EQ(said[6], "0 aabb");
  CHECK_EQ(said[7], "-14");
  CHECK_EQ(said[8], "0");
  CHECK_EQ(said[9], "0");
  CHECK_EQ(said[10], "-16");
  CHECK_EQ(said[11], "0");
  CHECK_EQ(said[12], "-10");
  CHECK_EQ(said[13], "0");
  CHECK_EQ(s.leaks(), "leaks pins=0 objects=0 fds=0 children=0");
}

TEST(leaked_pins_and_objects_are_counted) {
  gpu::Emit e(gpu::Gen::gen9);
  e.store_dword(target_at, 1);
  e.batch_end();
  auto ops = submit(e.dwords());
  ops.push_back(wait_for_batch());
  SoftOptions o;
  o.faults = fault_leak_pin;
  Stage pins(o);
  pins.play(ops);
  CHECK_EQ(pins.leaks(), "leaks pins=1 objects=0 fds=0 children=0");
}

// Two threads close one handle: whoever is second is refused.
TEST(all_outcomes_of_a_race_are_found) {
  const auto close = [](int thread, uint64_t at) {
    return format("@%d ", thread) +
           ioctl(DRM_IOCTL_GEM_CLOSE, hex(drm_gem_close{}), 0, "0:4=$0", args_at + at);
  };
  Outcomes outcomes({}, 1);
  std::string said;
  const auto play = [&](const std::vector<std::string>& lines) {
    said.clear();
    return outcomes.play(lines, 100, &said);
  };
  CHECK(play({"begin 3", create(), close(0, 256), close(1, 512), "join 0", "join 1", "end"}));
  CHECK(said.find("|0|-22\n") != said.npos);
  CHECK(said.find("|-22|0\n") != said.npos);
  CHECK(said.ends_with("end 3\n"));
  CHECK(play({"begin 4", close(0, 256), "join 0", "end"}));
  CHECK_EQ(said, "outcome 101 started|-22\nend 4\n");
  CHECK(!play({"begin 5", "nonsense", "end"}));
  CHECK(said.starts_with("error "));
}

// A store by the CPU, which waits for nothing, may come before the batch's or after all of it.
TEST(the_outcomes_have_a_call_that_comes_last) {
  gpu::Emit e(gpu::Gen::gen9);
  e.store_dword(target_at, 0x11111111);
  e.batch_end();
  std::vector<std::string> lines = submit(e.dwords());
  lines.insert(lines.begin(), "begin 1");
  lines.back() = "@0 " + lines.back();
  for (const std::string& line : {format("@1 write %#" PRIx64 " 22222222", arena_at),
                                  std::string("join 0"), std::string("join 1"), wait_for_batch(),
                                  format("read %#" PRIx64 " 4", arena_at), std::string("end")})
    lines.push_back(line);
  Outcomes outcomes({}, 1);
  std::string said;
  CHECK(outcomes.play(lines, 400, &said));
  CHECK(said.find("|0 11111111\n") != said.npos);
  CHECK(said.find("|0 22222222\n") != said.npos);
}

TEST(a_number_may_be_so_much_more_than_a_slot_holds) {
  Stage s;
  const auto answers = s.play({
      map(arena_at, 1),
      // 1, on every driver.
      ioctl(DRM_IOCTL_GET_CAP, hex(drm_get_cap{DRM_CAP_TIMESTAMP_MONOTONIC, 0}), 0, "8:8>$3"),
      format("munmap $3+%#" PRIx64 " 4096", arena_at - 1),
      format("read %#" PRIx64 " 2", arena_at),
  });
  CHECK_EQ(answers[2], "0");
  CHECK_EQ(answers[3], "-14");
  CHECK(s.error("munmap $3+x 4096").starts_with("error "));
  CHECK(s.error("munmap $+1 4096").starts_with("error "));
}

}  // namespace i915u::match
