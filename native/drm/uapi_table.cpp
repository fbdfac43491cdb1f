// SPDX-License-Identifier: MIT
#include "drm/uapi_table.h"

#include "drm/uapi.h"

namespace i915u::uapi {
namespace {

#define S(type) {#type, sizeof(type), false},
#define T(type) {#type, sizeof(type), true},
#define F(type, field)
constexpr StructRow structs[] = {
#include "drm/uapi_structs.inc"
};
#undef S
#undef T
#undef F

#define S(type)
#define T(type)
#define F(type, field) {#type, #field, offsetof(type, field), sizeof(type::field)},
constexpr FieldRow fields[] = {
#include "drm/uapi_structs.inc"
};
#undef S
#undef T
#undef F

#define C(type, name, value) {#name, static_cast<int64_t>(name)},
constexpr ConstantRow constants[] = {
#include "drm/uapi_constants.inc"
};
#undef C

#define I(name, dir, nr, arg) {#name, name},
#define I0(name, nr) {#name, name},
constexpr IoctlRow ioctls[] = {
#include "drm/uapi_ioctls.inc"
};
#undef I
#undef I0

}  // namespace

std::span<const StructRow> struct_table() {
  return structs;
}
std::span<const FieldRow> field_table() {
  return fields;
}
std::span<const ConstantRow> constant_table() {
  return constants;
}
std::span<const IoctlRow> ioctl_table() {
  return ioctls;
}

const char* ioctl_name(unsigned long request) {
  for (const IoctlRow& row : ioctls)
    if (row.request == request) return row.name;
  return nullptr;
}

}  // namespace i915u::uapi
