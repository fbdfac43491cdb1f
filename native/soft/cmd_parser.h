// SPDX-License-Identifier: MIT
// What i915 lets a batch on generation 9's copy engine do (kernel: i915_cmd_parser.c,
// intel_engine_cmd_parser() and gen9_blt_cmds): that engine would let it write any register.
#pragma once

#include <cstdint>
#include <functional>

namespace i915u::soft {

/// The dword at so many dwords from the batch's start; false: it cannot be read.
using ReadDword = std::function<bool(uint64_t at, uint32_t* dword)>;

/// 0; -EINVAL: a command that the engine does not have, one that ends behind the batch's `length`
/// bytes, or no end; -EACCES: a register that is not allowed, or a jump of another kind; -EFAULT.
/// `addr`: of the batch, whose jumps must stay in it.
int check_commands(uint64_t addr, uint64_t length, const ReadDword& read);

}  // namespace i915u::soft
