// SPDX-License-Identifier: MIT
#include "match/outcomes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "match/player.h"
#include "sync/fibers.h"

namespace i915u::match {
namespace {

using sync::FiberScheduler;

constexpr int cannot_run = 3;

// One schedule in four chooses anew at each step; in the others threads have priorities, which some
// steps, few or none change, so that one may come far, or to its end, while another stands still.
class Chance final : public FiberScheduler::Policy {
 public:
  Chance(uint64_t seed, const std::vector<std::string>& lines)
      : dice_(seed), change_one_in_(change_one_in[seed % 4]), lines_(lines) {
    draw_all();
  }

  int choose(FiberScheduler& s) override {
    constexpr uint32_t most_steps = 2000000;
    if (s.steps() > most_steps) end("it comes to no end");
    std::array<int, FiberScheduler::max_threads> able{};
    uint32_t n = 0;
    for (uint32_t t = 0; t < s.threads(); t++)
      if (s.able() >> t & 1) able[n++] = static_cast<int>(t);
    if (change_one_in_ == 1) return able[dice_() % n];
    const int chosen = *std::max_element(able.begin(), able.begin() + n, [&](int a, int b) {
      return priority_[static_cast<size_t>(a)] < priority_[static_cast<size_t>(b)];
    });
    const auto act = s.task(static_cast<uint32_t>(chosen)).op.act;
    if (act == sync::Op::yield || act == sync::Op::sleep) {
      // Who yields waits for another, whatever that one's priority is; and who has yielded, as idle
      // engines do, shall not stay behind all others.
      const uint64_t how = dice_() % 4;
      if (how == 0)
        draw_all();
      else
        priority_[static_cast<size_t>(chosen)] = how == 1 ? --lowest_ : draw();
    } else if (change_one_in_ && dice_() % change_one_in_ == 0) {
      priority_[static_cast<size_t>(chosen)] = --lowest_;
    }
    return chosen;
  }
  void stuck(FiberScheduler&) override { end("its threads wait for each other"); }

 private:
  // The model's threads cannot be unwound in the middle of a call: the process ends.
  [[noreturn]] void end(const char* why) {
    fprintf(stderr, "i915-player: %s: %s\n", lines_.front().c_str(), why);
    printf("hang 0\n");
    fflush(stdout);
    _exit(cannot_run);
  }

  int draw() { return static_cast<int>(dice_() % 1024); }
  void draw_all() {
    for (int& p : priority_) p = draw();
  }

  static constexpr uint64_t change_one_in[] = {1, 32, 256, 0};
  std::mt19937_64 dice_;
  const uint64_t change_one_in_;  ///< step, of all; 0: none
  const std::vector<std::string>& lines_;
  std::array<int, FiberScheduler::max_threads> priority_;
  int lowest_ = 0;
};

}  // namespace

std::string Outcomes::play_once(const std::vector<std::string>& lines, std::string* error) {
  int err = 0;
  auto device = soft::SoftDevice::open(options_, &err);
  if (!device) {
    *error = "error memory";
    return {};
  }
  soft::SoftDevice* first = device.get();
  Player player(std::move(device), [first](int*) { return first->reopen(); });
  if (player.init()) {
    *error = "error memory";
    return {};
  }
  for (const std::string& line : lines) {
    if (player.line(line)) continue;
    *error = player.answers().substr(player.answers().rfind("error "));
    return {};
  }
  std::string answers = player.answers();
  answers.resize(answers.rfind("end "));
  if (!answers.empty()) answers.pop_back();
  std::replace(answers.begin(), answers.end(), '\n', '|');
  return answers;
}

bool Outcomes::play(const std::vector<std::string>& lines, uint32_t schedules, std::string* said,
                    const Tick& tick) {
  std::string error;
  std::map<std::string, uint32_t> found;
  // With the threads of the system: what is made once in a process is made here, and not in the
  // middle of a schedule.
  found[play_once(lines, &error)]++;
  FiberScheduler scheduler;
  scheduler.allow_outside();
  std::mt19937_64 seeds(seed_);
  for (uint32_t i = 0; i < schedules && error.empty(); i++) {
    Chance chance((seeds() & ~uint64_t{3}) | (i & 3), lines);
    std::string answers;
    const auto end = scheduler.run([&] { answers = play_once(lines, &error); }, chance);
    if (end != FiberScheduler::End::ended) error = "error " + scheduler.what();
    found[answers]++;
    if (tick && i % 256 == 255) tick(i + 1);
  }
  if (!error.empty()) {
    if (error.back() != '\n') error += '\n';
    *said = error;
    return false;
  }
  std::vector<std::pair<uint32_t, std::string>> most;
  for (const auto& [answers, n] : found) most.emplace_back(n, answers);
  std::stable_sort(most.begin(), most.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [n, answers] : most)
    *said += "outcome " + std::to_string(n) + " " + answers + "\n";
  *said += "end " + lines.front().substr(sizeof("begin ") - 1) + "\n";
  return true;
}

}  // namespace i915u::match
