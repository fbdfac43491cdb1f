// SPDX-License-Identifier: MIT
// A test says in its name what it proves. A failed CHECK ends the test; SKIP says why it cannot
// run.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

namespace i915u::test {

struct Case {
  const char* file;
  const char* name;
  void (*run)();
  Case* next;
  static Case* first;
  Case(const char* f, const char* n, void (*r)()) : file(f), name(n), run(r), next(first) {
    first = this;
  }
};

[[noreturn]] void fail(const char* file, int line, const std::string& what);
[[noreturn]] void skip(const std::string& why);

template <class T>
std::string show(const T& v) {
  std::ostringstream o;
  o << v;
  return o.str();
}

template <class A, class B>
void check_eq(const A& a, const B& b, const char* as, const char* bs, const char* file, int line) {
  if (!(a == b))
    fail(file, line, std::string(as) + " is " + show(a) + ", expected " + bs + " = " + show(b));
}

}  // namespace i915u::test

#define TEST(name)                                               \
  static void name();                                            \
  static ::i915u::test::Case name##_case(__FILE__, #name, name); \
  static void name()
#define CHECK(cond)                                              \
  do {                                                           \
    if (!(cond)) ::i915u::test::fail(__FILE__, __LINE__, #cond); \
  } while (0)
#define CHECK_EQ(a, b) ::i915u::test::check_eq((a), (b), #a, #b, __FILE__, __LINE__)
#define SKIP(why) ::i915u::test::skip(why)
