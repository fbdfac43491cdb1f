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

// Flanagan and Godefroid, POPL 2005: a hash table whose threads first meet when there are 12 of
// them.
TEST(indexer_has_as_many_classes_as_there_are_orders_of_its_collisions) {
  static const LockClass cell{"cell"};
  const auto indexer = [](int threads) {
    return toy([threads](Toy& t) {
      struct Table {
        std::unique_ptr<Mutex> m[128];  // a lock and an unlock in one step: compare and swap
        int w[128]{};
      };
      auto& table = t.make<Table>();
      for (auto& m : table.m) m = std::make_unique<Mutex>(cell);
      for (int id = 0; id < threads; id++)
        t.thread([&table, id] {
          for (int k = 1; k <= 4; k++) {
            const int w = k * 11 + id;
            for (int h = w * 7 % 128;; h = (h + 1) % 128) {
              Guard g(*table.m[h]);
              if (table.w[h]) continue;
              table.w[h] = w;
              break;
            }
          }
        });
    });
  };
  CHECK_EQ(classes(indexer(11)), 1u);
  CHECK_EQ(classes(indexer(12)), 8u);
  CHECK_EQ(classes(indexer(13)), 64u);
}

// The same paper: inodes and blocks under locks. Threads n and n + 13 begin at the same block.
TEST(file_system_has_two_classes_for_each_pair_that_meets) {
  static const LockClass inode_lock{"inode"}, block_lock{"block"};
  const auto file_system = [](int threads) {
    return toy([threads](Toy& t) {
      struct Disk {
        std::unique_ptr<Mutex> inode_m[32], block_m[26];
        int inode[32]{};
        bool busy[26]{};
      };
      auto& d = t.make<Disk>();
      for (auto& m : d.inode_m) m = std::make_unique<Mutex>(inode_lock);
      for (auto& m : d.block_m) m = std::make_unique<Mutex>(block_lock);
      for (int id = 0; id < threads; id++)
        t.thread([&d, id] {
          Guard g(*d.inode_m[id]);
          for (int b = id * 2 % 26; !d.inode[id]; b = (b + 1) % 26) {
            Guard gb(*d.block_m[b]);
            if (d.busy[b]) continue;
            d.busy[b] = true;
            d.inode[id] = b + 1;
          }
        });
    });
  };
  CHECK_EQ(classes(file_system(13)), 1u);
  CHECK_EQ(classes(file_system(14)), 2u);
  CHECK_EQ(classes(file_system(16)), 8u);
  CHECK_EQ(classes(file_system(18)), 32u);
}

// What has been made possible before the thread came to it is no wait: it is a step like another,
// and could have been made before what was done to the object.
TEST(a_wait_that_is_possible_from_the_start_races_as_any_step) {
  for (const bool reduce : {false, true}) {
    uint32_t seen = 0;  // a bit for each value
    const Result r = explore::explore(
        toy([&seen](Toy& t) {
          const uint32_t object = sync::new_object("page");
          auto& v = t.make<int>(0);  // of the object's steps alone
          t.thread([&v, object] {
            sync::scheduler->step({sync::Op::store, object, "page", {}}, nullptr, nullptr);
            v = 1;
          });
          t.thread([&v, &seen, object] {
            sync::scheduler->step(
                {sync::Op::wait, object, "page", {}}, [](const void*) { return true; }, nullptr);
            seen |= 1u << v;
          });
        }),
        reduce ? Options{} : plain());
    CHECK(r.exhaustive);
    CHECK_EQ(seen, 3u);
  }
}
