// SPDX-License-Identifier: MIT
#include "lab/cell.h"

#include <sstream>

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

explore::Make Cell::make() const {
  return [*this] { return std::make_unique<Lab>(*strategy, *scenario, faults); };
}

explore::Result Cell::explore(const explore::Options& options,
                              const explore::OnProgress& progress) const {
  explore::Result r = explore::explore(make(), options, progress);
  r.counterexample.strategy = strategy->name;
  r.counterexample.scenario = scenario->name;
  r.counterexample.options = fault_names();
  return r;
}

}  // namespace i915u::lab
