// SPDX-License-Identifier: MIT
// Short runs of the engine on the model, so that the sanitizers see all of it work together.
#include <unistd.h>

#include <cstdio>

#include "soft/device.h"
#include "stress/board.h"
#include "stress/cell.h"
#include "stress/run.h"
#include "stress/stressor.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::stress;

namespace {

struct Outcome {
  uint32_t violations = 0;
  uint64_t submissions = 0, changes = 0, checks = 0;
  std::string first;  ///< the first violation's text
};

Outcome run(soft::SoftOptions options, Config config) {
  int err = 0;
  auto dev = soft::SoftDevice::open(options, &err);
  CHECK_EQ(err, 0);
  const int fd = board_create();
  CHECK(fd >= 0);
  Board* board = board_map(fd, true, &err);
  CHECK(board);
  Outcome o;
  {
    Run r(*dev, std::move(config), *board, "");
    r.launch();
    if (!r.join()) {
      puts(board->violations[0].text);  // its threads hang: no test can come after
      puts(board->violations[0].where);
      _exit(1);
    }
  }
  CHECK_EQ(bounded(board->error, sizeof board->error), "");
  CHECK(board->state.load() == RunState::done);
  o.violations = board->n_violations;
  if (o.violations) o.first = board->violations[0].text;
  for (uint32_t i = 0; i < board->n_threads; i++) {
    ThreadSlot& s = board->threads[i];
    (std::string(s.kind) == "submit" ? o.submissions : o.changes) += s.ops;
    o.checks += s.checks;
  }
  board_unmap(board);
  ::close(fd);
  CHECK_EQ(dev->close(), 0);
  return o;
}

}  // namespace

TEST(a_tag_says_who_wrote_it_and_later_ones_are_after) {
  const Tag t = parse_tag(make_tag({59, 1, seq_mask}));
  CHECK_EQ(t.cell, 59u);
  CHECK_EQ(t.lane, 1u);
  CHECK_EQ(t.seq, seq_mask);
  CHECK(seq_after(2, 1) && !seq_after(1, 2) && !seq_after(1, 1));
  CHECK(seq_after(1, seq_mask));  // it wraps
}

TEST(the_dwords_of_a_page_do_not_overlap) {
  Cell c(3, 0x1000, 64 * page_size, Backing::anon, Shape::plain);
  for (uint32_t p = 0; p < c.pages; p++) {
    CHECK(c.lane_offset(p, 0) != c.lane_offset(p, 1) && c.lane_offset(p, 1) != c.cpu_offset(p));
    CHECK(c.cpu_offset(p) + 4 <= page_size && c.cpu_offset(p) % 4 == 0);
  }
}

TEST(a_percentile_lies_within_an_eighth_of_the_value) {
  for (uint64_t ns : {0ull, 7ull, 8ull, 1000ull, 123456ull, 99999999999ull}) {
    const uint64_t v = Histogram::value(Histogram::bucket(ns));
    CHECK(v >= ns && v <= ns + ns / 8 + 1);
  }
}

TEST(a_board_of_another_shape_is_refused) {
  int err = 0;
  int fds[2];
  CHECK(pipe(fds) == 0);
  CHECK(!board_map(fds[0], false, &err));
  CHECK_EQ(err, -EINVAL);
  ::close(fds[0]);
  ::close(fds[1]);
  CHECK(!board_map(-1, false, &err));
  CHECK_EQ(err, -EBADF);
}

TEST(a_clean_run_of_every_stressor_finds_nothing) {
  Config config;
  config.seconds = 3;
  config.seed = 1;
  const Outcome o = run({}, config);
  if (o.violations) test::fail(__FILE__, __LINE__, o.first);
  CHECK(o.submissions > 0 && o.changes > 0 && o.checks > 0);
}

TEST(a_clean_run_without_waiting_notifiers_finds_nothing) {
  Config config;
  config.seconds = 3;
  config.seed = 2;
  soft::SoftOptions options;
  options.strategy = "interval-nowait";
  const Outcome o = run(options, config);
  if (o.violations) test::fail(__FILE__, __LINE__, o.first);
  CHECK(o.submissions > 0 && o.changes > 0 && o.checks > 0);
}

TEST(a_run_ends_after_so_many_operations) {
  Config config;
  config.seconds = 60;
  config.operations = 500;
  const Outcome o = run({}, config);
  CHECK_EQ(o.violations, 0u);
  CHECK(o.submissions + o.changes <= 500);
}
