// SPDX-License-Identifier: MIT
#include "soft/faults.h"

namespace i915u::soft {

const FaultName fault_names[] = {
    {"skip-retry", fault_skip_retry,
     "takes pages for current although an invalidate came since their lookup"},
    {"no-wait", fault_no_wait,
     "gives pages back in the notifier without waiting for the batches that use them"},
    {"short-range", fault_short_range, "registers an object's range one page short"},
    {"lose-dirty", fault_lose_dirty, "gives pages that the GPU wrote back as clean"},
    {"leak-pin", fault_leak_pin, "forgets to unpin one page of an object"},
    {"lock-over-gup", fault_lock_over_gup,
     "looks pages up while it holds the lock that its notifier takes"},
    {"write-after-close", fault_write_after_close,
     "gives the pages of a busy object back when its handle is closed"},
    {"no-foll-write", fault_no_foll_write,
     "looks pages up for reading only and lets the GPU write them"},
    {"early-signal", fault_early_signal, "signals a request before its last dword is written"},
    {"lost-wakeup", fault_lost_wakeup, "signals a request without waking who waits for it"},
    {"leak-object", fault_leak_object, "keeps the memory of freed objects"},
    {"no-read-lock", fault_no_read_lock, "looks pages up without the semaphore (strategy rwsem)"},
    {"late-insert", fault_late_insert,
     "registers an object's range only when its first pages are there"},
    {"no-seq", fault_no_seq, "leaves the sequence number alone in an invalidate"},
    {"lost-write", fault_lost_write, "loses what the GPU stores to the last dword of a page"},
    {"wrong-errno", fault_wrong_errno, "answers ENOENT when a handle that is none is closed"},
    {"check-order", fault_check_order, "looks at a userptr's address before its flags"},
    {nullptr, Fault{}, nullptr},
};

}  // namespace i915u::soft
