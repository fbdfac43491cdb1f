// SPDX-License-Identifier: MIT
#include "sync/thread.h"

#include <pthread.h>
#include <signal.h>

namespace i915u::sync {

Thread::Thread(std::string name, std::function<void()> body) {
  if (name.size() > 15) name.resize(15);
  if (scheduler) {
    scheduled_ = scheduler->spawn(std::move(name), std::move(body));
    return;
  }
  sigset_t all, old;
  sigfillset(&all);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
  pthread_sigmask(SIG_BLOCK, &all, &old);  // inherited by the new thread
  t_ = std::thread([name = std::move(name), body = std::move(body)] {
    pthread_setname_np(pthread_self(), name.c_str());
    body();
  });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

}  // namespace i915u::sync
