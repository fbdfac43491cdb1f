// SPDX-License-Identifier: MIT
// The guest's agent over a socket in place of its virtio port, in a child process as init is one:
// it reaps whatever children it finds.
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "guest/agent.h"
#include "test/harness.h"

namespace {

using i915u::guest::Agent;
using i915u::guest::quoted;

constexpr int bound_ms = 20000;
using i915u::guest::now_us;

/// Beats keep coming: what is awaited has its own bound.
uint64_t deadline() {
  return now_us() + bound_ms * 1000;
}

/// The value of a field of a flat object.
std::string field(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  if (at == std::string::npos) return "";
  size_t i = at + name.size() + 3;
  if (line[i] != '"') return line.substr(i, line.find_first_of(",}", i) - i);
  std::string out;
  for (i++; i < line.size() && line[i] != '"'; i++) {
    if (line[i] != '\\') {
      out += line[i];
    } else if (line[++i] == 'u') {
      out += static_cast<char>(strtoul(line.substr(i + 1, 4).c_str(), nullptr, 16));
      i += 4;
    } else {
      out += line[i] == 'n' ? '\n' : line[i];
    }
  }
  return out;
}

using Strings = std::vector<std::string>;

std::string nul_ended(const Strings& strings) {
  std::string out;
  for (const std::string& s : strings) out += s + '\0';
  return out;
}

class Guest {
 public:
  /// `before` runs in the agent's process.
  explicit Guest(const std::function<void()>& before = [] {}) {
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    pid = fork();
    if (pid == 0) {
      close(fds[0]);
      before();
      Agent agent(fds[1]);
      agent.serve();
      _exit(0);
    }
    close(fds[1]);
    port = fds[0];
  }
  ~Guest() {
    close(port);
    if (pid > 0) kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
  }

  /// What it says is kept meanwhile: else both could wait for room.
  void send(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      listen(0);
      const ssize_t n =
          ::send(port, text.data() + at, text.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) at += static_cast<size_t>(n);
      if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
      if (n < 0) usleep(100);
    }
  }
  /// Its exit status; -1 for a signal.
  int join() {
    shutdown(port, SHUT_WR);
    while (listen(bound_ms)) {
    }
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  void exec(unsigned id, const Strings& argv, const Strings& env = {}, const std::string& dir = "/",
            const std::string& pty = "0 0 0") {
    Strings all = {dir};
    all.insert(all.end(), argv.begin(), argv.end());
    all.insert(all.end(), env.begin(), env.end());
    const std::string body = nul_ended(all);
    send(std::to_string(id) + " exec " + pty + " " + std::to_string(argv.size()) + " " +
         std::to_string(env.size()) + " " + std::to_string(body.size()) + "\n" + body);
  }
  void shell(unsigned id, const std::string& script) { exec(id, {"/bin/sh", "-c", script}); }
  void input(unsigned id, const std::string& data) {
    send(std::to_string(id) + " stdin " + std::to_string(data.size()) + "\n" + data);
  }

  /// The next line that has this field with this value.
  std::string await(const std::string& name, unsigned id) {
    return await_field(name, std::to_string(id));
  }
  /// The next line that has this field; with any value if none is given.
  std::string await_field(const std::string& name, const std::string& value = "") {
    for (const uint64_t until = deadline();;) {
      for (; next < lines.size(); next++) {
        const std::string found = field(lines[next], name);
        if (value.empty() ? !found.empty() : found == value) return lines[next++];
      }
      if (!listen(bound_ms) || now_us() > until)
        i915u::test::fail(__FILE__, __LINE__, "no " + name + " came");
    }
  }
  int reply(unsigned id) { return atoi(field(await("reply", id), "errno").c_str()); }
  /// Waits for its end, and tells it as "status signal".
  std::string exit(unsigned id) {
    const std::string line = await("exit", id);
    return field(line, "status") + " " + field(line, "signal");
  }
  /// All output so far.
  std::string output(unsigned id, int fd = 1) {
    std::string out;
    for (const std::string& line : lines)
      if (field(line, "out") == std::to_string(id) && field(line, "fd") == std::to_string(fd))
        out += field(line, "data");
    return out;
  }
  /// Waits until the output has this.
  void await_output(unsigned id, const std::string& text) {
    const uint64_t until = deadline();
    while (output(id).find(text) == std::string::npos)
      if (!listen(bound_ms) || now_us() > until)
        i915u::test::fail(__FILE__, __LINE__, "no output " + text);
  }
  size_t fed(unsigned id) {
    size_t n = 0;
    for (const std::string& line : lines)
      if (field(line, "fed") == std::to_string(id))
        n += strtoul(field(line, "bytes").c_str(), 0, 10);
    return n;
  }
  long kib_of_memory() {
    std::string path = "/proc/" + std::to_string(pid) + "/statm";
    FILE* f = fopen(path.c_str(), "r");
    long all = 0, resident = 0;
    if (f) [[maybe_unused]]
      int n = fscanf(f, "%ld %ld", &all, &resident);
    if (f) fclose(f);
    return resident * 4;
  }

  pid_t pid;
  int port;

 private:
  /// False: nothing came in that time, or nothing will.
  bool listen(int ms) {
    pollfd p = {port, POLLIN, 0};
    if (poll(&p, 1, ms) <= 0) return false;
    char buffer[65536];
    const ssize_t n = read(port, buffer, sizeof buffer);
    if (n <= 0) return false;
    rest.append(buffer, static_cast<size_t>(n));
    size_t from = 0;
    for (size_t end; (end = rest.find('\n', from)) != std::string::npos; from = end + 1) {
      std::string line = rest.substr(from, end - from);
      // The log of this machine is nothing that is tested.
      if (line.compare(0, 7, "{\"kmsg\"") != 0) lines.push_back(std::move(line));
    }
    rest.erase(0, from);
    return true;
  }

  Strings lines;
  size_t next = 0;
  std::string rest;
};

std::string all_bytes() {
  std::string out;
  for (int i = 0; i < 256; i++) out += static_cast<char>(i);
  return out;
}

}  // namespace

TEST(guest_quotes_each_byte_so_that_it_comes_back) {
  const std::string line = "{\"data\":" + quoted(all_bytes()) + "}";
  for (const char c : line) CHECK(c >= 0x20 && c < 0x7f);
  CHECK(field(line, "data") == all_bytes());
}

TEST(guest_exec_has_its_arguments_environment_and_directory) {
  Guest g;
  g.exec(1, {"/bin/sh", "-c", "pwd; echo \"[$1][$2][$A][$B]\"; exit 7", "sh", "", "two words"},
         {"A=a b", "B="}, "/proc");
  CHECK_EQ(g.reply(1), 0);
  CHECK_EQ(g.exit(1), "7 0");
  CHECK_EQ(g.output(1), "/proc\n[][two words][a b][]\n");
  CHECK_EQ(g.join(), 0);
}

TEST(guest_exec_replies_why_a_program_cannot_start) {
  Guest g;
  g.exec(1, {"/no/such/program"});
  g.exec(2, {"/bin/true"}, {}, "/no/such/directory");
  g.exec(3, {"/proc/version"});
  CHECK_EQ(g.reply(1), ENOENT);
  CHECK_EQ(g.reply(2), ENOENT);
  CHECK_EQ(g.reply(3), EACCES);
  CHECK_EQ(g.join(), 0);
}

TEST(guest_tells_stdout_from_stderr_and_the_signal_that_killed) {
  Guest g;
  g.shell(5, "echo out; echo err >&2; kill -9 $$");
  CHECK_EQ(g.exit(5), "-1 9");
  CHECK_EQ(g.output(5, 1), "out\n");
  CHECK_EQ(g.output(5, 2), "err\n");
}

TEST(guest_programs_start_with_default_signals) {
  Guest g;
  // SIGPIPE is ignored by the agent, SIGCHLD blocked.
  g.exec(1, {"/bin/grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"});
  CHECK_EQ(g.exit(1), "0 0");
  unsigned long long blocked = ~0ull, ignored = ~0ull;
  CHECK_EQ(sscanf(g.output(1).c_str(), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
  CHECK_EQ(blocked, 0ull);
  // Whoever runs the tests may have others ignored, which are inherited.
  CHECK(!(ignored & 1ull << (SIGPIPE - 1)));
}

TEST(guest_output_of_a_mebibyte_comes_whole_and_before_the_end) {
  Guest g;
  g.shell(1, "head -c 1048576 /dev/zero | tr '\\0' '\\377'");
  CHECK_EQ(g.exit(1), "0 0");
  CHECK(g.output(1) == std::string(1 << 20, '\xff'));
}

TEST(guest_input_comes_whole_and_ends) {
  Guest g;
  g.exec(1, {"/bin/cat"});
  std::string data;
  for (int i = 0; i < 2048; i++) data += all_bytes();
  g.input(1, data.substr(0, 300000));
  g.input(1, data.substr(300000));
  g.input(1, "");
  CHECK_EQ(g.exit(1), "0 0");
  CHECK(g.output(1) == data);
  CHECK_EQ(g.fed(1), data.size());
}

TEST(guest_input_that_nobody_reads_is_dropped_and_told) {
  Guest g;
  g.shell(1, "exec <&-; echo closed; sleep 1000");
  g.await_output(1, "closed");
  g.input(1, std::string(100000, 'x'));
  g.await("fed", 1);
  CHECK_EQ(g.fed(1), 100000u);
  g.send("1 kill 9\n");
  CHECK_EQ(g.exit(1), "-1 9");
  CHECK_EQ(g.join(), 0);
}

TEST(guest_input_that_waits_is_bounded) {
  Guest g;
  g.shell(1, "echo up; exec sleep 1000");
  g.await_output(1, "up");
  const std::string mebibyte(1 << 20, 'x');
  for (int i = 0; i < 12; i++) g.input(1, mebibyte);
  CHECK_EQ(g.reply(1), 0);
  // Four wait, beside what the pipe has taken.
  for (int i = 0; i < 7; i++) CHECK_EQ(g.reply(1), ENOBUFS);
  g.send("1 kill 15\n");
  CHECK_EQ(g.exit(1), "-1 15");
}

TEST(guest_kill_reaches_the_whole_group) {
  Guest g;
  g.shell(1, "sleep 1000 & echo $!; wait");
  g.await_output(1, "\n");
  const pid_t inner = atoi(g.output(1).c_str());
  CHECK(inner > 1);
  CHECK_EQ(kill(inner, 0), 0);
  g.send("1 kill 9\n");
  CHECK_EQ(g.exit(1), "-1 9");
  // A zombie until whoever it falls to has reaped it.
  for (int i = 0; i < 2000; i++) {
    std::string state;
    if (FILE* f = fopen(("/proc/" + std::to_string(inner) + "/stat").c_str(), "r")) {
      char c = 0;
      if (fscanf(f, "%*d %*s %c", &c) == 1) state = c;
      fclose(f);
    }
    if (state.empty() || state == "Z" || state == "X") return;
    usleep(10000);
  }
  CHECK(!"the inner process still runs");
}

TEST(guest_terminal_has_the_size_that_was_asked_for) {
  Guest g;
  g.exec(1, {"/bin/sh", "-c", "stty size; test -t 0 && read x; stty size; exit 3"}, {}, "/",
         "1 33 101");
  CHECK_EQ(g.reply(1), 0);
  g.await_output(1, "33 101");
  g.send("1 size 12 34\n");
  g.input(1, "\n");
  CHECK_EQ(g.exit(1), "3 0");
  CHECK(g.output(1).find("12 34") != std::string::npos);
}

TEST(guest_writes_files_and_says_why_not) {
  Guest g;
  char path[] = "/tmp/i915u-guest-XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0);
  std::string body = nul_ended({path}) + "value";
  g.send("1 write " + std::to_string(body.size()) + "\n" + body);
  const int err = g.reply(1);
  char text[16] = {};
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  unlink(path);
  CHECK_EQ(err, 0);
  CHECK_EQ(std::string(text, static_cast<size_t>(n)), "value");
  body = nul_ended({"/no/such/file"}) + "1";
  g.send("2 write " + std::to_string(body.size()) + "\n" + body);
  CHECK_EQ(g.reply(2), ENOENT);
  g.send("3 write 3\nabc");
  CHECK_EQ(g.reply(3), EINVAL);
  g.send("4 zram 5 65536\n../sd");
  CHECK_EQ(g.reply(4), EINVAL);
  g.send("5 zram 5 1\nzram0");
  CHECK_EQ(g.reply(5), EINVAL);
}

TEST(guest_beats_while_nothing_is_asked) {
  Guest g;
  unsigned long before = 0;
  for (int i = 0; i < 3; i++) {
    const unsigned long now = strtoul(field(g.await_field("beat"), "beat").c_str(), nullptr, 10);
    CHECK(now > before);
    before = now;
  }
  CHECK_EQ(g.join(), 0);
}

TEST(guest_watches_init_s_own_children) {
  int fds[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(fds[0]);
    Agent agent(fds[1]);
    const pid_t child = fork();
    if (child == 0) _exit(9);
    agent.watch(child, "gpu");
    agent.serve();
    _exit(0);
  }
  close(fds[1]);
  std::string said;
  char buffer[65536];
  for (ssize_t n; said.find("\"stage\":\"gpu\"") == std::string::npos;) {
    n = read(fds[0], buffer, sizeof buffer);
    if (n <= 0) break;
    said.append(buffer, static_cast<size_t>(n));
  }
  const std::string line = said.substr(std::min(said.find("{\"stage\":\"gpu\""), said.size()));
  CHECK_EQ(field(line, "status"), "9");
  close(fds[0]);
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
}

TEST(guest_refuses_requests_that_make_no_sense) {
  Guest g;
  // Not a request at all: passed over.
  g.send("\n  \nhello\n-1 kill 9\n1x exec\n99999999999999999999999 kill 9\n");
  g.send("1 kill 9\n2 stdin 3\nabc3 size 1 1\n4 dance\n");
  for (const unsigned id : {1u, 2u, 3u, 4u}) CHECK_EQ(g.reply(id), ESRCH);
  // Too few words, counts that do not fit, no program.
  g.send("5 exec\n6 exec 0 0 0 1 0 x\n7 exec 0 0 0 0 0 3\n/" + std::string(2, '\0'));
  const std::string body = nul_ended({"/", "/bin/true"});
  const std::string two = std::to_string(body.size()) + "\n" + body;
  g.send("8 exec 0 0 0 2 0 " + two + "9 exec 0 0 0 1 1 " + two);
  // Sums that wrap to the right count.
  g.send("10 exec 0 0 0 18446744073709551615 2 " + two);
  g.send("11 exec 0 0 0 3 18446744073709551614 " + two);
  g.send("12 exec 0 0 0 -1 2 " + two);
  for (const unsigned id : {5u, 6u, 7u, 8u, 9u, 10u, 11u, 12u}) CHECK_EQ(g.reply(id), EINVAL);
  // A number that is taken.
  g.exec(13, {"/bin/cat"});
  CHECK_EQ(g.reply(13), 0);
  g.exec(13, {"/bin/true"});
  CHECK_EQ(g.reply(13), EINVAL);
  g.send("13 dance\n");
  CHECK_EQ(g.reply(13), ENOSYS);
  g.send("13 kill 4000000000\n");
  CHECK_EQ(g.reply(13), EINVAL);
  g.send("13 size 1 1\n");  // of a pipe
  CHECK_EQ(g.reply(13), ENOTTY);
  g.input(13, "");
  CHECK_EQ(g.exit(13), "0 0");
  CHECK_EQ(g.join(), 0);
}

TEST(guest_passes_over_what_is_too_long) {
  Guest g;
  g.shell(1, "echo up; exec cat");
  g.await_output(1, "up\n");
  CHECK_EQ(g.reply(1), 0);
  // What is passed over looks like requests, and is none.
  std::string body;
  while (body.size() < (16 << 20)) body += "1 kill 9\n";
  const long before = g.kib_of_memory();
  g.input(1, body);
  CHECK_EQ(g.reply(1), E2BIG);
  g.input(1, "still there\n");
  g.await_output(1, "still there\n");
  CHECK(g.kib_of_memory() - before < 8 << 10);
  g.send("2 write 18446744073709551615\n" + body);
  CHECK_EQ(g.reply(2), E2BIG);
  CHECK_EQ(g.join(), 0);
}

TEST(guest_keeps_no_descriptor_of_what_could_not_start) {
  // Eleven are free: two for the log and the children, eight while a program starts.
  Guest g([] {
    const rlimit few = {64, 64};
    setrlimit(RLIMIT_NOFILE, &few);
    int fd, last = 0;
    while ((fd = dup(0)) >= 0) last = fd;
    for (int n = 0; n < 11; n++) close(last - n);
  });
  int denied = 0;
  for (unsigned id = 1; id <= 20; id++) {
    g.exec(id, {"/bin/sleep", "1000"});
    denied += g.reply(id) == EMFILE;
  }
  CHECK(denied > 15);
  // All that is left free is still free.
  g.send("1 kill 9\n");
  CHECK_EQ(g.exit(1), "-1 9");
  g.exec(30, {"/bin/true"});
  CHECK_EQ(g.reply(30), 0);
  CHECK_EQ(g.exit(30), "0 0");
}

TEST(guest_gives_up_a_line_without_end) {
  Guest g;
  g.send(std::string(3 << 20, 'x'));
  // It has ended by itself, before its port did.
  int status = -1;
  for (int i = 0; i < 2000 && waitpid(g.pid, &status, WNOHANG) == 0; i++) usleep(10000);
  g.pid = -1;
  CHECK_EQ(status, 0);
}
