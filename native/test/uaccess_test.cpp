// SPDX-License-Identifier: MIT
#include "mem/uaccess.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "mem/memory.h"
#include "sync/thread.h"
#include "test/harness.h"

using namespace i915u;

namespace {

constexpr uint64_t page = 4096;

// [ rw page ][ PROT_NONE page: a hole that no allocator fills ]
struct PageAndHole {
  PageAndHole() {
    at = static_cast<uint64_t>(
        mem.mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mem.mprotect(at + page, page, PROT_NONE);
  }
  ~PageAndHole() { mem.munmap(at, 2 * page); }
  DirectMemory& mem = DirectMemory::instance();
  uint64_t at;
};

void* ptr(uint64_t a) {
  return reinterpret_cast<void*>(a);
}

// Runs body in a child and returns its wait status.
template <class F>
int in_child(F body) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  return status;
}

sigjmp_buf jump;

}  // namespace

TEST(a_copy_stops_at_the_hole_and_says_how_much_is_left) {
  PageAndHole m;
  std::vector<char> buf(page, 'x');
  CHECK_EQ(user_copy(ptr(m.at + page - 100), buf.data(), 300), size_t{200});
  CHECK_EQ(static_cast<char*>(ptr(m.at))[page - 1], 'x');
  CHECK_EQ(user_copy(buf.data(), ptr(m.at + page - 1), 2), size_t{1});
  CHECK_EQ(user_copy(buf.data(), ptr(m.at), page), size_t{0});
  CHECK_EQ(copy_from_user(buf.data(), m.at + 1, page), -EFAULT);
  CHECK_EQ(copy_to_user(m.at, buf.data(), page), 0);
}

TEST(single_accesses_answer_efault) {
  PageAndHole m;
  uint32_t v = 0;
  uint64_t w = 0;
  CHECK_EQ(store_user_u32(m.at, 0x12345678), 0);
  CHECK_EQ(load_user_u32(m.at, &v), 0);
  CHECK_EQ(v, 0x12345678u);
  CHECK_EQ(store_user_u64(m.at + 8, 0x1122334455667788), 0);
  CHECK_EQ(load_user_u64(m.at + 8, &w), 0);
  CHECK_EQ(w, 0x1122334455667788u);
  CHECK_EQ(touch_user_write(m.at + 8), 0);
  CHECK_EQ(load_user_u64(m.at + 8, &w), 0);
  CHECK_EQ(w, 0x1122334455667788u);
  for (uint64_t bad : {m.at + page, uint64_t{0}, uint64_t{0x7fffffffffff}, uint64_t{1} << 63,
                       uint64_t{0x0000800000000000}, ~uint64_t{3}}) {
    CHECK_EQ(load_user_u32(bad, &v), -EFAULT);
    CHECK_EQ(load_user_u64(bad, &w), -EFAULT);
    CHECK_EQ(store_user_u32(bad, 1), -EFAULT);
    CHECK_EQ(store_user_u64(bad, 1), -EFAULT);
    CHECK_EQ(touch_user_write(bad), -EFAULT);
    CHECK_EQ(copy_from_user(&v, bad, 4), -EFAULT);
    CHECK_EQ(copy_to_user(bad, &v, 4), -EFAULT);
    CHECK_EQ(user_copy(&v, ptr(bad), 4), size_t{4});
  }
}

TEST(read_only_pages_refuse_stores) {
  PageAndHole m;
  uint32_t v;
  m.mem.mprotect(m.at, page, PROT_READ);
  CHECK_EQ(load_user_u32(m.at, &v), 0);
  CHECK_EQ(store_user_u32(m.at, 1), -EFAULT);
  CHECK_EQ(touch_user_write(m.at), -EFAULT);
  m.mem.mprotect(m.at, page, PROT_NONE);
  CHECK_EQ(load_user_u32(m.at, &v), -EFAULT);
}

TEST(a_page_past_the_end_of_its_file_answers_efault) {
  auto& mem = DirectMemory::instance();
  const int fd = memfd_create("uaccess", 0);
  CHECK(fd >= 0);
  mem.ftruncate(fd, page);
  const int64_t at = mem.mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  uint32_t v;
  CHECK_EQ(load_user_u32(static_cast<uint64_t>(at), &v), 0);
  mem.ftruncate(fd, 0);
  CHECK_EQ(load_user_u32(static_cast<uint64_t>(at), &v), -EFAULT);  // SIGBUS
  mem.munmap(static_cast<uint64_t>(at), page);
  close(fd);
}

TEST(kernel_addresses_are_refused_untouched) {
  char c = 0;
  CHECK_EQ(copy_from_user(&c, 0x7ffffffff000, 1), -EFAULT);
  CHECK_EQ(copy_from_user(&c, 0xffffffffff600000, 1),
           -EFAULT);  // vsyscall: readable on old kernels
  CHECK_EQ(copy_from_user(&c, 0x7fffffffe000, SIZE_MAX), -EFAULT);
  CHECK_EQ(copy_to_user(UINT64_MAX, &c, 1), -EFAULT);
}

TEST(every_thread_survives_a_page_that_comes_and_goes) {
  PageAndHole m;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> ok{0}, efault{0};
  {
    std::vector<sync::Thread> t;
    for (int i = 0; i < 3; i++)
      t.emplace_back("uaccess", [&] {
        char buf[64] = {};
        while (!stop) {
          (store_user_u32(m.at, 1) ? efault : ok)++;
          (copy_from_user(buf, m.at + 64, 64) ? efault : ok)++;
        }
      });
    for (int i = 0; i < 20000 && !(i > 2000 && ok && efault); i++) {
      m.mem.mprotect(m.at, page, PROT_NONE);
      m.mem.mprotect(m.at, page, PROT_READ | PROT_WRITE);
    }
    stop = true;
  }
  CHECK(ok > 0);
  CHECK(efault > 0);
}

// The address of a sanitizer's own report is not under test here, only that the fault goes on.
TEST(a_fault_elsewhere_still_kills) {
  uaccess_init();
  const int status = in_child([] {
    freopen("/dev/null", "w", stderr);
    volatile uintptr_t nowhere = 16;  // volatile, or the compiler sees through it and warns
    *reinterpret_cast<volatile int*>(nowhere) = 1;
  });
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST(a_sent_signal_still_kills) {
  uaccess_init();
  const int status = in_child([] {
    freopen("/dev/null", "w", stderr);
    raise(SIGBUS);
  });
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST(a_handler_installed_later_can_take_over) {
  PageAndHole m;
  const int status = in_child([&] {
    struct sigaction sa {
    }, old;
    sa.sa_handler = [](int) { siglongjmp(jump, 1); };
    sigaction(SIGSEGV, &sa, &old);
    if (sigsetjmp(jump, 1) == 0) {
      store_user_u32(m.at + page, 1);
      _exit(1);
    }
    sigaction(SIGSEGV, &old, nullptr);
    _exit(store_user_u32(m.at + page, 1) == -EFAULT ? 0 : 2);
  });
  CHECK_EQ(status, 0);
}
