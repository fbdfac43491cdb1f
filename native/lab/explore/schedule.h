// SPDX-License-Identifier: MIT
// One interleaving, as a file: NDJSON, a line that says what it is of and what was found, then a
// line for each step.
//
//   {"schedule":1,"strategy":"rwsem","scenario":"nested","options":"","found":"deadlocks",
//    "what":"...","threads":["main","gup"],"steps":2}                       (in one line)
//   {"thread":1,"act":"lock","object":"mmap_lock","where":"userptr.cpp:42"}
//
// `where` is for the reader: a build whose lines have moved still fits.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "sync/scheduler.h"

namespace i915u::explore {

const char* act_name(sync::Op::Act);

struct Schedule {
  static constexpr uint32_t version = 1;
  /// No file is longer, no line, no thread's number higher: it may come from anywhere.
  static constexpr size_t max_steps = 1000000, max_line = 65536;
  static constexpr uint32_t max_threads = 32;

  struct Step {
    uint32_t thread = 0;
    sync::Op::Act act = sync::Op::begin;
    std::string object;  ///< the name of what the step is of
    std::string where;   ///< file:line
    bool operator==(const Step&) const = default;
    std::string text() const;  ///< "thread 1: lock mmap_lock at userptr.cpp:42"
  };
  std::string strategy, scenario, options;  ///< whoever explores says what these are
  std::string found, what;                  ///< verdict_name() of the result, and its text
  std::vector<std::string> threads;         ///< their names, by number
  std::vector<Step> steps;

  /// How often another thread goes on than the one before, and how often that one could have.
  uint32_t switches() const;

  std::string text() const;
  /// An empty string, or why not.
  std::string save(const std::string& path) const;
  /// Sets *this to what the file says. An empty string, or what is wrong, with the line.
  std::string load(const std::string& path);
  std::string parse(std::istream&);
  bool operator==(const Schedule&) const = default;
};

}  // namespace i915u::explore
