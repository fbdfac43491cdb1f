// SPDX-License-Identifier: MIT
// i915-lab: explores one cell of strategies against scenarios, or replays what was found.
// It prints NDJSON, but for a replay under a debugger: that is one line of words. Exit status: 0 it
// holds, or the finding is not there any more; 1 a finding; 2 usage; 3 it could not run.
#include <signal.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "lab/cell.h"
#include "lab/json.h"
#include "lab/lanes.h"

using namespace i915u;
using namespace i915u::lab;

namespace {

enum Exit { holds = 0, finding = 1, bad_usage = 2, cannot_run = 3 };

int usage(const std::string& why = "") {
  if (!why.empty()) fprintf(stderr, "i915-lab: %s\n", why.c_str());
  fputs(
      "usage: i915-lab list --json\n"
      "       i915-lab run STRATEGY SCENARIO [--break FAULT[,FAULT...]] [--preemptions N]\n"
      "                [--no-reduction] [--max-executions N] [--seconds S] [--save FILE]\n"
      "       i915-lab replay [--json] FILE\n",
      stderr);
  return bad_usage;
}

int failed(const std::string& why) {
  fprintf(stderr, "i915-lab: %s\n", why.c_str());
  return cannot_run;
}

void print(const Json& json) {
  puts(json.done().c_str());
  fflush(stdout);
}

// --- list

std::string lists() {
  std::string strategies, scenario_list, faults;
  const auto add = [](std::string& to, const Json& j) { to += (to.empty() ? "" : ",") + j.done(); };
  for (const auto* s = soft::strategy_names; s->name; s++)
    add(strategies, Json()
                        .text("name", s->name)
                        .text("what", s->what)
                        .flag("waits", s->waits)
                        .text("does", s->does)
                        .text("kernels", s->kernels)
                        .text("against", s->against)
                        .text("sources", s->sources));
  for (const auto* s = scenarios; s->name; s++)
    add(scenario_list, Json().text("name", s->name).text("what", s->what));
  for (const auto* f = soft::fault_names; f->name; f++)
    add(faults, Json().text("name", f->name).text("what", f->what));
  return Json()
      .raw("strategies", "[" + strategies + "]")
      .raw("scenarios", "[" + scenario_list + "]")
      .raw("faults", "[" + faults + "]")
      .done();
}

// --- run

int run(const Cell& cell, const explore::Options& options, const std::string& save) {
  double shown = 0;
  const Verdict v = explore_cell(cell, options, [&](const explore::Progress& p) {
    if (p.seconds - shown < 1) return true;
    shown = p.seconds;
    print(Json()
              .text("type", "progress")
              .number("executions", p.executions)
              .number("pruned", p.pruned)
              .number("steps", p.steps)
              .seconds("seconds", p.seconds));
    return true;
  });
  const explore::Result& r = v.search;
  Json out;
  out.text("type", "result")
      .text("strategy", cell.strategy->name)
      .text("scenario", cell.scenario->name)
      .text("break", cell.fault_names())
      .text("verdict", v.name)
      .flag("exhaustive", r.exhaustive)
      .flag("within_bound", r.within_bound)
      .text("stopped", r.stopped)
      .number("executions", r.executions)
      .number("steps", r.steps)
      .number("pruned", r.pruned)
      .number("longest", r.longest)
      .seconds("seconds", r.seconds)
      .text("what", r.what)
      .text("lockdep", v.lockdep);
  const explore::Schedule& found = r.counterexample;
  if (!found.steps.empty()) {
    out.number("preemptions", r.preemptions)
        .flag("minimal", r.minimal)
        .number("switches", found.switches());
    if (!save.empty()) {
      if (const auto why = found.save(save); !why.empty()) return failed(why);
      out.text("file", save);
    }
    Lanes lanes;
    Cell as_found;
    as_found.find(found);
    const auto again = lanes.record(as_found, found);
    if (!again.same)
      return failed("the finding is not there again: " +
                    (again.mismatch.empty() ? again.what : again.mismatch));
    out.raw("lanes", lanes.json());
  }
  print(out);
  return v.name == "holds" ? holds : finding;
}

bool whole_number(const char* text, uint64_t most, uint64_t* out) {
  if (*text < '0' || *text > '9') return false;
  char* end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return !*end && !errno && *out <= most;
}

int run(int argc, char** argv) {
  if (argc < 2) return usage("run: a strategy and a scenario are wanted");
  explore::Options options;
  std::string faults, save;
  for (int i = 2; i < argc; i++) {
    const std::string name = argv[i];
    if (name == "--no-reduction") {
      options.reduce = false;
      continue;
    }
    if (i + 1 == argc) return usage("run: " + name + ": what is that?");
    const char* value = argv[++i];
    uint64_t number = 0;
    char* end = nullptr;
    if (name == "--break") {
      faults = value;
    } else if (name == "--save") {
      save = value;
    } else if (name == "--preemptions") {
      if (!whole_number(value, 1000, &number)) return usage("--preemptions: 0 to 1000");
      options.preemptions = static_cast<int>(number);
    } else if (name == "--max-executions") {
      if (!whole_number(value, UINT64_MAX, &options.max_executions) || !options.max_executions)
        return usage("--max-executions: a number above 0");
    } else if (name == "--seconds") {
      options.seconds = strtod(value, &end);
      if (end == value || *end || !(options.seconds > 0) || options.seconds > 1e9)
        return usage("--seconds: a number above 0");
    } else {
      return usage("run: " + name + ": what is that?");
    }
  }
  Cell cell;
  if (const auto why = cell.find(argv[0], argv[1], faults); !why.empty()) return usage(why);
  return run(cell, options, save);
}

// --- replay

int replay(const char* file, bool with_lanes) {
  explore::Schedule s;
  if (const auto why = s.load(file); !why.empty()) return failed(why);
  Cell cell;
  if (const auto why = cell.find(s); !why.empty())
    return failed(std::string(file) + ": " + why + ": it is from another build");
  Lanes lanes;
  const auto r = lanes.record(cell, s);
  const auto name = [&](const char* verdict) {
    return cell.lockdep && !strcmp(verdict, "violated") ? "lockdep" : verdict;
  };
  const char* verdict = name(explore::verdict_name(r.verdict));
  const std::string what = r.verdict == explore::Verdict::deadlocks ? what_matters(r.what) : r.what;
  if (with_lanes)
    print(Json()
              .text("type", "replay")
              .text("strategy", s.strategy)
              .text("scenario", s.scenario)
              .text("break", cell.fault_names())
              .text("found", name(s.found.c_str()))
              .text("found_what", s.what)
              .text("verdict", verdict)
              .text("what", what)
              .flag("same", r.same)
              .text("mismatch", r.mismatch)
              .raw("lanes", lanes.json()));
  else if (r.mismatch.empty())
    printf("%s%s%s\n", verdict, what.empty() ? "" : ": ", what.c_str());
  if (!r.mismatch.empty())
    return failed(std::string(file) + ": does not fit this build: " + r.mismatch);
  return r.same && r.verdict != explore::Verdict::holds ? finding : holds;
}

}  // namespace

int main(int argc, char** argv) {
  // Who started it may have had them ignored.
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  try {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "list" && argc == 3 && !strcmp(argv[2], "--json"))
      return puts(lists().c_str()), fflush(stdout), holds;
    if (what == "run") return run(argc - 2, argv + 2);
    if (what == "replay" && argc == 3) return replay(argv[2], false);
    if (what == "replay" && argc == 4 && !strcmp(argv[2], "--json")) return replay(argv[3], true);
    return usage();
  } catch (const std::exception& e) {
    return failed(e.what());
  }
}
