// SPDX-License-Identifier: MIT
// Runs the native tests, each in this process, and prints KTAP. Usage: native-test [-l] [SUBSTRING]
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "sync/lockdep.h"
#include "test/harness.h"

namespace i915u::test {

Case* Case::first;

namespace {
struct Stop {
  bool skipped;
  std::string why;
};

// A report fails the test in which it came, whatever the test itself thinks.
std::mutex said_lock;
std::string said;

void listen() {
  sync::lockdep::on_report([](const sync::lockdep::Report& r) {
    std::lock_guard g(said_lock);
    said += r.text;
  });
}
std::string take_said() {
  std::lock_guard g(said_lock);
  if (!said.empty()) sync::lockdep::reset();
  return std::exchange(said, {});
}
}  // namespace

void fail(const char* file, int line, const std::string& what) {
  throw Stop{false, std::string(file) + ":" + std::to_string(line) + ": " + what};
}
void skip(const std::string& why) {
  throw Stop{true, why};
}

}  // namespace i915u::test

int main(int argc, char** argv) {
  using namespace i915u::test;
  const bool list = argc > 1 && !strcmp(argv[1], "-l");
  const char* pick = argc > 1 + list ? argv[1 + list] : "";
  std::vector<Case*> cases;
  for (Case* c = Case::first; c; c = c->next)
    if (strstr(c->name, pick) || strstr(c->file, pick)) cases.insert(cases.begin(), c);
  if (list) {
    for (Case* c : cases) puts(c->name);
    return 0;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  printf("KTAP version 1\n1..%zu\n", cases.size());
  int n = 0, failed = 0, skipped = 0;
  for (Case* c : cases) {
    n++;
    try {
      listen();
      c->run();
      if (const std::string text = take_said(); !text.empty()) {
        fputs(text.c_str(), stderr);
        throw Stop{false, "lockdep: " + text.substr(0, text.find('\n', 1))};
      }
      printf("ok %d %s\n", n, c->name);
    } catch (const Stop& s) {
      if (s.skipped) {
        skipped++;
        printf("ok %d %s # SKIP %s\n", n, c->name, s.why.c_str());
      } else {
        failed++;
        printf("# %s\nnot ok %d %s\n", s.why.c_str(), n, c->name);
      }
    }
  }
  printf("# passed %d, failed %d, skipped %d\n", n - failed - skipped, failed, skipped);
  return cases.empty() || failed ? 1 : 0;
}
