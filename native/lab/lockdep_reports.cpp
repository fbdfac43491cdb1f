// SPDX-License-Identifier: MIT
#include "lab/lockdep_reports.h"

#include "sync/lockdep.h"

namespace i915u::lab {

using namespace sync;

LockdepReports* LockdepReports::current = nullptr;

LockdepReports::LockdepReports() {
  current = this;
  lockdep::on_report([](const lockdep::Report& r) {
    if (!current || !current->title_.empty()) return;
    current->title_ = r.title;
    current->text_ = r.text;
  });
  lockdep::reset();
}

LockdepReports::~LockdepReports() {
  lockdep::on_report({});
  current = nullptr;
}

void LockdepReports::forget() {
  lockdep::reset();
  title_.clear();
  text_.clear();
}

}  // namespace i915u::lab
