// SPDX-License-Identifier: MIT
// uapi.h as data: for the test that compares it with the system's headers, for the addon that
// exports the constants, and for messages that name an ioctl.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace i915u::uapi {

struct FieldRow {
  const char* type;  ///< the struct
  const char* field;
  size_t offset, size;
};

struct StructRow {
  const char* type;
  size_t size;
  bool tail;  ///< an array of no fixed length follows the fields
};

struct ConstantRow {
  const char* name;
  int64_t value;
};

struct IoctlRow {
  const char* name;
  unsigned long request;
};

std::span<const StructRow> struct_table();
/// In the order of struct_table(), and of the fields.
std::span<const FieldRow> field_table();
std::span<const ConstantRow> constant_table();
std::span<const IoctlRow> ioctl_table();

/// "DRM_IOCTL_I915_GEM_USERPTR", or null for a request that is not in the table. Where two names
/// stand for one request the first is given.
const char* ioctl_name(unsigned long request);

}  // namespace i915u::uapi
