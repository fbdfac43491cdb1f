// SPDX-License-Identifier: MIT
// A scenario: the least that can go wrong, written against the model, for any strategy.
#pragma once

#include <cstddef>

namespace i915u::lab {

class Lab;

struct Scenario {
  const char* name;
  const char* what;     ///< one sentence
  int pages;            ///< of the mm; all are there, writable and clean
  void (*setup)(Lab&);  ///< makes objects and threads
  void (*after)(Lab&);  ///< once they have ended; or null
};

/// All of them, ended by a null name.
extern const Scenario scenarios[];
const Scenario* find_scenario(const char* name);

}  // namespace i915u::lab
