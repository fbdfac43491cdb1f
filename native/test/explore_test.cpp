// SPDX-License-Identifier: MIT
// The explorer on small programs whose numbers are known.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lab/explore/explorer.h"
#include "sync/atomic.h"
#include "sync/mutex.h"
#include "sync/rwsem.h"
#include "sync/wait_queue.h"
#include "sync/workqueue.h"
#include "test/explore_worlds.h"
#include "test/harness.h"

using namespace i915u;
using namespace i915u::explore;
using sync::Atomic;
using sync::Guard;
using sync::LockClass;
using sync::Mutex;
using test::Toy;
using test::toy;


static Options plain() {
  Options o;
  o.reduce = false;
  return o;
}

static uint64_t classes(const Make& make) {
  const Result r = explore::explore(make);
  CHECK_EQ(std::string(r.what), "");
  CHECK(r.exhaustive);
  return r.executions;
}

TEST(independent_threads_have_one_class_and_all_their_interleavings) {
  const Make make = toy([](Toy& t) {
    for (int i = 0; i < 3; i++) {
      auto& x = t.var("x");
      t.thread([&x] { x.store(1); });
    }
  });
  CHECK_EQ(classes(make), 1u);
  const Result r = explore::explore(make, plain());
  CHECK(r.exhaustive);
  CHECK_EQ(r.executions, 90u);  // 6! / 2!^3: a thread's begin is a step too
  CHECK_EQ(r.pruned, 0u);
}

TEST(writers_of_one_variable_have_an_order_and_readers_have_none) {
  CHECK_EQ(classes(toy([](Toy& t) {
             auto& x = t.var("x");
             for (int i = 0; i < 2; i++) t.thread([&x] { x.store(1); });
           })),
           2u);
  CHECK_EQ(classes(toy([](Toy& t) {
             auto& x = t.var("x");
             for (int i = 0; i < 4; i++) t.thread([&x] { x.store(1); });
           })),
           24u);
  CHECK_EQ(classes(toy([](Toy& t) {
             auto& x = t.var("x");
             for (int i = 0; i < 4; i++) t.thread([&x] { x.load(); });
           })),
           1u);
  CHECK_EQ(classes(toy([](Toy& t) {  // the writer comes after 0 to 3 of the readers: 2^3 sets
             auto& x = t.var("x");
             t.thread([&x] { x.store(1); });
             for (int i = 0; i < 3; i++) t.thread([&x] { x.load(); });
           })),
           8u);
}

// Abdulla et al., POPL 2014: the number of classes is known.
TEST(last_zero_has_as_many_classes_as_the_papers_say) {
  const auto last_zero = [](int n) {
    return toy([n](Toy& t) {
      auto* a = &t.array("array", n + 1);
      t.thread([a, n] {
        int i = n;
        while ((*a)[i]->load()) i--;
      });
      for (int j = 1; j <= n; j++) t.thread([a, j] { (*a)[j]->store((*a)[j - 1]->load() + 1); });
    });
  };
  CHECK_EQ(classes(last_zero(4)), 28u);
  CHECK_EQ(classes(last_zero(5)), 64u);
  CHECK_EQ(classes(last_zero(7)), 320u);
}
