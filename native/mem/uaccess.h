// SPDX-License-Identifier: MIT
// Reads and writes of memory that may be unmapped at any moment: they answer instead of dying
// (kernel: copy_from_user and its exception table). The instructions that may fault stand in a few
// functions whose addresses the SIGSEGV and SIGBUS handler knows; any other fault goes on to the
// handler that was there before.
#pragma once

#include <cstddef>
#include <cstdint>

namespace i915u {

/// Installs the handler, once for the process. Called by the first use of anything here.
void uaccess_init();

/// Copies len bytes; the return value is how many were NOT copied (0: all). Overlap is not allowed.
size_t user_copy(void* dst, const void* src, size_t len);

/// 0 or -EFAULT.
int copy_from_user(void* dst, uint64_t src, size_t len);
int copy_to_user(uint64_t dst, const void* src, size_t len);
/// One aligned access that no other thread sees in halves. 0 or -EFAULT.
int load_user_u32(uint64_t addr, uint32_t* v);
int store_user_u32(uint64_t addr, uint32_t v);
int load_user_u64(uint64_t addr, uint64_t* v);
int store_user_u64(uint64_t addr, uint64_t v);
/// Faults a page in for writing and leaves its content alone (an atomic add of 0). 0 or -EFAULT.
int touch_user_write(uint64_t addr);

}  // namespace i915u
