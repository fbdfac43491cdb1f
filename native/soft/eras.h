// SPDX-License-Identifier: MIT
// What i915 and the DRM core came to do otherwise between 6.1 and 7.3, as far as user space sees it
// and the model has it. The table is in eras.cpp; nothing else of the model knows a version.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace i915u::soft {

struct Version {
  int major, minor;
  auto operator<=>(const Version&) const = default;
};

/// The kernels that the model can be.
constexpr Version era_kernels[] = {{6, 1}, {6, 12}, {7, 2}, {7, 3}};

enum class Change : uint8_t {
  always,
  long_objects,
  set_pat_extension,
  syncobj_eventfd,
  no_legacy_ioctls,
  closefb,
  syncobj_deadline,
  notifier_does_not_wait,
  few_relocations,
  partial_mmap,
  no_driver_date,
  perf_revision_7,
  oa_timestamp_param,
  pxp_status_param,
  freq_hint_param,
  guc_version_query,
  pwrite_by_iter,
  client_name,
  sync_file_points,
  count
};

struct EraRow {
  Change change;
  const char* name;
  Version since;       ///< the first kernel that has it
  const char* source;  ///< commit, file, or which of era_kernels showed it
  const char* what;
};

/// In the order of Change, without `always`.
extern const EraRow era_table[static_cast<int>(Change::count) - 1];

bool has_change(Version kernel, Change c);
/// "6.12": one of era_kernels, or false.
bool parse_kernel(const std::string& text, Version* kernel);

}  // namespace i915u::soft
