// SPDX-License-Identifier: MIT
// What lockdep says while there is one of these: instead of to stderr, it is kept. One at a time.
#pragma once

#include <string>

namespace i915u::lab {

class LockdepReports {
 public:
  LockdepReports();  ///< forgets what lockdep knew
  ~LockdepReports();
  LockdepReports(const LockdepReports&) = delete;
  LockdepReports& operator=(const LockdepReports&) = delete;

  /// Of the first report; empty: there was none.
  const std::string& title() const { return title_; }
  const std::string& text() const { return text_; }
  void forget();
  static LockdepReports* current;

 private:
  std::string title_, text_;
};

}  // namespace i915u::lab
