// SPDX-License-Identifier: MIT
// The instructions that touch user memory are the labelled ones below, in plain assembly: no
// compiler moves them and no sanitizer instruments them. A fault on one continues at its fixup, as
// the kernel's exception table has it, so the way without a fault costs nothing beyond the access.
#include "mem/uaccess.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <cerrno>
#include <mutex>

#ifndef __x86_64__
#error "uaccess: only x86-64 is implemented"
#endif

// size_t i915u_copy(dst, src, len): rcx counts down while a string instruction runs, also when it
// stops at a fault in the middle. First words, as emulators go through these one by one; what is
// left of a word at the fault, then the rest, by bytes.
// int i915u_load/store(addr, value): 0 or -EFAULT.
asm(R"(
  .pushsection .text
  .macro I915U_FN name
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 16
  \name:
    .cfi_startproc
  .endm
  .macro I915U_LABEL name
    .globl \name
    .hidden \name
  \name:
  .endm
  .macro I915U_END name
    .cfi_endproc
    .size \name, . - \name
  .endm

  I915U_FN i915u_copy
    movq %rdx, %rcx
    shrq $3, %rcx
    andl $7, %edx
  I915U_LABEL i915u_copy_word_fault
    rep movsq
  I915U_LABEL i915u_copy_word_fixup
    leaq (%rdx, %rcx, 8), %rcx
  I915U_LABEL i915u_copy_fault
    rep movsb
  I915U_LABEL i915u_copy_fixup
    movq %rcx, %rax
    ret
  I915U_END i915u_copy

  I915U_FN i915u_load4
  I915U_LABEL i915u_load4_fault
    movl (%rdi), %eax
    movl %eax, (%rsi)
    xorl %eax, %eax
    ret
  I915U_END i915u_load4

  I915U_FN i915u_load8
  I915U_LABEL i915u_load8_fault
    movq (%rdi), %rax
    movq %rax, (%rsi)
    xorl %eax, %eax
    ret
  I915U_END i915u_load8

  I915U_FN i915u_store4
  I915U_LABEL i915u_store4_fault
    movl %esi, (%rdi)
    xorl %eax, %eax
    ret
  I915U_END i915u_store4

  I915U_FN i915u_store8
  I915U_LABEL i915u_store8_fault
    movq %rsi, (%rdi)
    xorl %eax, %eax
    ret
  I915U_END i915u_store8

  I915U_FN i915u_touch
  I915U_LABEL i915u_touch_fault
    lock addl $0, (%rdi)
    xorl %eax, %eax
    ret
  I915U_END i915u_touch

  I915U_FN i915u_efault
    movl $-14, %eax
    ret
  I915U_END i915u_efault
  .purgem I915U_FN
  .purgem I915U_LABEL
  .purgem I915U_END
  .popsection
)");

extern "C" {
#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN size_t i915u_copy(void* dst, const void* src, size_t len);
HIDDEN int i915u_load4(uint64_t addr, uint32_t* v);
HIDDEN int i915u_load8(uint64_t addr, uint64_t* v);
HIDDEN int i915u_store4(uint64_t addr, uint32_t v);
HIDDEN int i915u_store8(uint64_t addr, uint64_t v);
HIDDEN int i915u_touch(uint64_t addr);
HIDDEN extern const char i915u_copy_word_fault[], i915u_copy_word_fixup[], i915u_copy_fault[],
    i915u_copy_fixup[], i915u_load4_fault[], i915u_load8_fault[], i915u_store4_fault[],
    i915u_store8_fault[], i915u_touch_fault[], i915u_efault[];
}
static_assert(EFAULT == 14, "i915u_efault returns it");

namespace i915u {
namespace {

constexpr uint64_t task_size = 0x7ffffffff000;  // TASK_SIZE_MAX with four-level page tables

const struct {
  const char *fault, *fixup;
} exception_table[] = {
    {i915u_copy_word_fault, i915u_copy_word_fixup},
    {i915u_copy_fault, i915u_copy_fixup},
    {i915u_load4_fault, i915u_efault},
    {i915u_load8_fault, i915u_efault},
    {i915u_store4_fault, i915u_efault},
    {i915u_store8_fault, i915u_efault},
    {i915u_touch_fault, i915u_efault},
};

struct sigaction previous_segv, previous_bus;

// The fault is not ours: what would have happened without this handler happens.
void chain(int sig, siginfo_t* info, void* context) {
  const struct sigaction& prev = sig == SIGSEGV ? previous_segv : previous_bus;
  const bool sent = info->si_code <= 0;  // by kill() and the like: it does not come again by itself
  if (prev.sa_flags & SA_SIGINFO || (prev.sa_handler != SIG_DFL && prev.sa_handler != SIG_IGN)) {
    // Our own return from the signal restores the mask.
    pthread_sigmask(SIG_BLOCK, &prev.sa_mask, nullptr);
    if (prev.sa_flags & SA_SIGINFO)
      prev.sa_sigaction(sig, info, context);
    else
      prev.sa_handler(sig);
    return;
  }
  if (prev.sa_handler == SIG_IGN && sent) return;
  struct sigaction dfl {};
  dfl.sa_handler = SIG_DFL;  // which is also what the kernel makes of a fault that is ignored
  sigaction(sig, &dfl, nullptr);
  if (sent) raise(sig);  // pending until this handler returns; a true fault simply faults again
}

void on_fault(int sig, siginfo_t* info, void* context) {
  greg_t& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  for (const auto& e : exception_table) {
    if (rip == reinterpret_cast<greg_t>(e.fault)) {
      rip = reinterpret_cast<greg_t>(e.fixup);
      return;
    }
  }
  chain(sig, info, context);
}

bool user_range(uint64_t addr, size_t len) {
  return len <= task_size && addr <= task_size - len;
}

}  // namespace

void uaccess_init() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction sa {};
    sa.sa_sigaction = on_fault;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGSEGV, nullptr, &previous_segv);  // read first: the new handler may run at once
    sigaction(SIGBUS, nullptr, &previous_bus);
    sigaction(SIGSEGV, &sa, nullptr);
    sigaction(SIGBUS, &sa, nullptr);
  });
}

size_t user_copy(void* dst, const void* src, size_t len) {
  uaccess_init();
  return i915u_copy(dst, src, len);
}

int copy_from_user(void* dst, uint64_t src, size_t len) {
  if (!user_range(src, len)) return -EFAULT;
  return user_copy(dst, reinterpret_cast<const void*>(src), len) ? -EFAULT : 0;
}

int copy_to_user(uint64_t dst, const void* src, size_t len) {
  if (!user_range(dst, len)) return -EFAULT;
  return user_copy(reinterpret_cast<void*>(dst), src, len) ? -EFAULT : 0;
}

int load_user_u32(uint64_t addr, uint32_t* v) {
  uaccess_init();
  return i915u_load4(addr, v);
}

int store_user_u32(uint64_t addr, uint32_t v) {
  uaccess_init();
  return i915u_store4(addr, v);
}

int load_user_u64(uint64_t addr, uint64_t* v) {
  uaccess_init();
  return i915u_load8(addr, v);
}

int store_user_u64(uint64_t addr, uint64_t v) {
  uaccess_init();
  return i915u_store8(addr, v);
}

int touch_user_write(uint64_t addr) {
  uaccess_init();
  return i915u_touch(addr);
}

}  // namespace i915u
