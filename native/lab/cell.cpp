// SPDX-License-Identifier: MIT
#include "lab/cell.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "lab/lockdep_reports.h"
#include "lab/model/lab.h"

namespace i915u::lab {

std::string Cell::find(const std::string& strategy_name, const std::string& scenario_name,
                       const std::string& faults_text) {
  strategy = soft::find_strategy(strategy_name.c_str());
  if (!strategy) return "there is no strategy '" + strategy_name + "'";
  scenario = find_scenario(scenario_name.c_str());
  if (!scenario) return "there is no scenario '" + scenario_name + "'";
  faults = 0;
  std::istringstream in(faults_text);
  for (std::string name; std::getline(in, name, ',');) {
    const auto* f = soft::fault_names;
    while (f->name && name != f->name) f++;
    if (!f->name) return "there is no fault '" + name + "'";
    faults |= f->bit;
  }
  return "";
}

std::string Cell::fault_names() const {
  std::string names;
  for (const auto* f = soft::fault_names; f->name; f++)
    if (faults & f->bit) names += (names.empty() ? "" : ",") + std::string(f->name);
  return names;
}

std::string Cell::find(const explore::Schedule& s) {
  constexpr char with_lockdep[] = "+lockdep";
  std::string options = s.options;
  lockdep = options.ends_with(with_lockdep);
  if (lockdep) options.resize(options.size() - strlen(with_lockdep));
  return find(s.strategy, s.scenario, options);
}

// Of a deadlock, a line each says who waits for what: not those who have nothing to do.
std::string what_matters(const std::string& what) {
  std::string out;
  std::istringstream in(what);
  for (std::string line; std::getline(in, line);) {
    bool idle = false;
    for (const char* nothing :
         {"the threads to end", "the ring's next request", "the free list", "idle"})
      idle |= line.find(std::string(" waits for ") + nothing) != std::string::npos;
    // A queue's own thread, where it waits for work.
    idle |= line.find(" at workqueue.cpp:") != std::string::npos &&
            line.find(" waits for ") != std::string::npos &&
            line.find("; holds") == std::string::npos;
    if (!idle) out += (out.empty() ? "" : "\n") + line;
  }
  return out;
}

explore::Make Cell::make() const {
  return [*this] { return std::make_unique<Lab>(*strategy, *scenario, faults, lockdep); };
}

Verdict explore_cell(Cell cell, const explore::Options& options,
                     const explore::OnProgress& progress) {
  Verdict v;
  std::string report;
  const auto search = [&](const explore::Options& o) {
    LockdepReports reports;
    auto r = explore::explore(cell.make(), o, progress);
    if (v.lockdep.empty()) {
      v.lockdep = reports.title();
      report = reports.text();
    }
    r.counterexample.strategy = cell.strategy->name;
    r.counterexample.scenario = cell.scenario->name;
    r.counterexample.options = cell.fault_names() + (cell.lockdep ? "+lockdep" : "");
    return r;
  };
  v.search = search(options);
  v.name = explore::verdict_name(v.search.verdict);
  if (v.search.verdict == explore::Verdict::deadlocks) {
    v.search.what = what_matters(v.search.what);
    v.search.counterexample.what = v.search.what;
  }
  if (v.search.verdict != explore::Verdict::holds || v.lockdep.empty()) return v;
  v.name = "lockdep";
  cell.lockdep = true;
  explore::Options shorter = options;
  shorter.seconds = std::min(options.seconds, 5.0);
  auto with_lanes = search(shorter);
  v.search.what = report;
  if (with_lanes.verdict != explore::Verdict::violated) return v;
  v.search.what = with_lanes.what;
  v.search.counterexample = std::move(with_lanes.counterexample);
  v.search.preemptions = with_lanes.preemptions;
  v.search.minimal = with_lanes.minimal;
  return v;
}

}  // namespace i915u::lab
