// SPDX-License-Identifier: MIT
#include "guest/agent.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "guest/swap.h"

namespace i915u::guest {

namespace {

constexpr size_t max_request = 1 << 20;
/// Of a process's input; the host keeps within it by what it is told was fed.
constexpr size_t max_pending = 4 << 20;
constexpr int beat_ms = 500;

bool number(const std::string& text, uint64_t* to) {
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), *to);
  return err == std::errc() && end == text.data() + text.size();
}

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    const size_t end = std::min(text.find(at, i), text.size());
    if (end > i || at == '\0') out.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings, size_t from, size_t n) {
  std::vector<char*> out;
  for (size_t i = from; i < from + n; i++) out.push_back(strings[i].data());
  out.push_back(nullptr);
  return out;
}

void default_signals() {
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool is_socket(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

}  // namespace

uint64_t now_us() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000 + static_cast<uint64_t>(t.tv_nsec) / 1000;
}

std::string quoted(std::string_view bytes) {
  std::string out = "\"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      char hex[8];
      snprintf(hex, sizeof hex, "\\u%04x", static_cast<unsigned char>(c));
      out += hex;
    }
  }
  return out + '"';
}

Agent::Agent(int port) : port_(port), kmsg_(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  children_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  // The kernel keeps it from PID 1 anyway.
  signal(SIGPIPE, SIG_IGN);
}

void Agent::say(std::string_view json) {
  out_ += json;
  out_ += '\n';
  if (out_.size() > 65536) flush();
}

void Agent::flush() {
  size_t at = 0;
  while (at < out_.size()) {
    const ssize_t n = write(port_, out_.data() + at, out_.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // the host is gone, and the machine soon will be
    at += static_cast<size_t>(n);
  }
  out_.clear();
}

void Agent::serve() {
  uint64_t next_beat = now_us();
  for (;;) {
    std::vector<pollfd> polled = {{port_, POLLIN, 0}, {children_, POLLIN, 0}, {kmsg_, POLLIN, 0}};
    for (const auto& [id, p] : processes_) {
      polled.push_back({p.out, POLLIN, 0});
      polled.push_back({p.err, POLLIN, 0});
      polled.push_back({p.pending.empty() ? -1 : p.in, POLLOUT, 0});
    }
    poll(polled.data(), polled.size(), beat_ms);
    // What a process wrote before it ended is said before its end.
    size_t at = 3;
    for (auto& [id, p] : processes_) {
      if (polled[at].revents) forward(id, p.out, 1);
      if (polled[at + 1].revents) forward(id, p.err, 2);
      if (polled[at + 2].revents) feed(id, p);
      at += 3;
    }
    if (polled[2].revents) forward_log();
    if (polled[1].revents) reap();
    if (polled[0].revents && !receive()) return;
    if (const uint64_t now = now_us(); now >= next_beat) {
      say("{\"beat\":" + std::to_string(now) + "}");
      next_beat = now + beat_ms * 1000;
    }
    flush();
  }
}

bool Agent::receive() {
  char buffer[65536];
  const ssize_t n = read(port_, buffer, sizeof buffer);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    if (is_socket(port_)) return false;
    // A virtio port, POLLHUP and no bytes: nobody has the other end open.
    usleep(100000);
    return true;
  }
  if (n > 0) {
    const size_t passed = std::min<uint64_t>(skip_, static_cast<size_t>(n));
    skip_ -= passed;
    in_.append(buffer + passed, static_cast<size_t>(n) - passed);
  }
  while (request()) {
  }
  return in_.size() <= 2 * max_request;
}

bool Agent::request() {
  const size_t line_end = in_.find('\n');
  if (line_end == std::string::npos) return false;
  const std::vector<std::string> words = split(std::string_view(in_).substr(0, line_end), ' ');
  uint64_t id = 0, bytes = 0;
  const bool understood = words.size() >= 2 && number(words[0], &id);
  if (understood) {
    const bool has_body =
        words[1] == "exec" || words[1] == "stdin" || words[1] == "write" || words[1] == "zram";
    const size_t where = words[1] == "exec" ? 7 : 2;
    if (has_body && (words.size() <= where || !number(words[where], &bytes))) bytes = 0;
  }
  if (bytes > max_request) {
    // It is as long as it says, but will not be kept.
    reply(id, -E2BIG);
    const uint64_t here = std::min<uint64_t>(in_.size() - line_end - 1, bytes);
    skip_ = bytes - here;
    in_.erase(0, line_end + 1 + here);
    return true;
  }
  if (in_.size() - line_end - 1 < bytes) return false;
  if (understood) handle(id, words, std::string_view(in_).substr(line_end + 1, bytes));
  in_.erase(0, line_end + 1 + bytes);
  return true;
}

void Agent::handle(uint64_t id, const std::vector<std::string>& words, std::string_view body) {
  const std::string& verb = words[1];
  const auto argument = [&](size_t i) {
    uint64_t v = 0;
    if (i + 2 < words.size()) number(words[i + 2], &v);
    return v;
  };
  const auto found = processes_.find(id);
  int err = 0;
  if (verb == "exec") {
    err = exec(id, words, body);
  } else if (verb == "write") {
    err = write_file(body);
  } else if (verb == "zram") {
    err = swap_on_zram(std::string(body), argument(1));
  } else if (found == processes_.end()) {
    err = -ESRCH;
  } else if (verb == "stdin" && found->second.pending.size() + body.size() > max_pending) {
    err = -ENOBUFS;
  } else if (verb == "stdin") {
    if (body.empty()) found->second.end_of_input = true;
    found->second.pending += body;
    feed(id, found->second);
    return;  // what is fed is told
  } else if (verb == "kill") {
    if (kill(-found->second.pid, static_cast<int>(argument(0))) < 0) err = -errno;
  } else if (verb == "size") {
    const winsize size{static_cast<uint16_t>(argument(0)), static_cast<uint16_t>(argument(1)), 0,
                       0};
    if (ioctl(found->second.out, TIOCSWINSZ, &size) < 0) err = -errno;
  } else {
    err = -ENOSYS;
  }
  reply(id, err);
}

void Agent::reply(uint64_t id, int err) {
  say("{\"reply\":" + std::to_string(id) + ",\"errno\":" + std::to_string(-err) + "}");
}

int Agent::exec(uint64_t id, const std::vector<std::string>& words, std::string_view body) {
  uint64_t pty, rows, cols, num_args, num_env;
  if (words.size() < 8 || !number(words[2], &pty) || !number(words[3], &rows) ||
      !number(words[4], &cols) || !number(words[5], &num_args) || !number(words[6], &num_env))
    return -EINVAL;
  std::vector<std::string> strings = split(body, '\0');
  // Each by itself first: the sum of two that are huge can be a small one.
  if (!num_args || num_args >= strings.size() || num_env >= strings.size() ||
      strings.size() != 1 + num_args + num_env || processes_.contains(id))
    return -EINVAL;

  int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, status[2] = {-1, -1};
  int master = -1;
  pid_t pid = -1;
  if (pipe2(status, O_CLOEXEC) == 0) {
    if (pty) {
      const winsize size{static_cast<uint16_t>(rows), static_cast<uint16_t>(cols), 0, 0};
      pid = forkpty(&master, nullptr, nullptr, &size);
    } else if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
               pipe2(err, O_CLOEXEC) == 0) {
      pid = fork();
    }
  }
  if (pid == 0) {
    if (!pty) {
      setsid();
      dup2(in[0], 0), dup2(out[1], 1), dup2(err[1], 2);
    }
    default_signals();
    std::vector<char*> argv = pointers(strings, 1, num_args);
    std::vector<char*> env = pointers(strings, 1 + num_args, num_env);
    int failed = chdir(strings[0].c_str()) < 0 ? errno : 0;
    if (!failed) {
      environ = env.data();
      execvp(argv[0], argv.data());
      failed = errno;
    }
    [[maybe_unused]] const ssize_t n = write(status[1], &failed, sizeof failed);
    _exit(127);
  }
  int failed = pid < 0 ? errno : 0;
  for (const int fd : {status[1], in[0], out[1], err[1]})
    if (fd >= 0) close(fd);
  if (pid > 0 && read(status[0], &failed, sizeof failed) <= 0) failed = 0;
  if (status[0] >= 0) close(status[0]);
  Process p;
  p.pid = pid;
  p.pty = pty;
  p.in = pty ? master : in[1];
  p.out = pty ? master : out[0];
  p.err = err[0];
  if (failed) {
    close_all(p);
    if (pid > 0) waitpid(pid, nullptr, 0);
    return -failed;
  }
  for (const int fd : {p.in, p.out, p.err})
    if (fd >= 0) {
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
      fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
  processes_[id] = std::move(p);
  return 0;
}

int Agent::write_file(std::string_view body) {
  const size_t nul = body.find('\0');
  if (nul == std::string_view::npos) return -EINVAL;
  const int fd = open(body.data(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const std::string_view value = body.substr(nul + 1);
  const int err = write(fd, value.data(), value.size()) < 0 ? -errno : 0;
  close(fd);
  return err;
}

void Agent::forward_log() {
  char record[8192];
  // Not all at once: processes and the host wait meanwhile.
  for (int i = 0; i < 256; i++) {
    const ssize_t n = read(kmsg_, record, sizeof record);
    if (n < 0 && errno == EPIPE) {
      say("{\"lost\":\"kmsg\"}");  // overwritten before it was read
      continue;
    }
    if (n <= 0) return;
    say("{\"kmsg\":" + quoted({record, static_cast<size_t>(n)}) + "}");
  }
}

void Agent::forward(uint64_t id, int& fd, int number) {
  char data[16384];
  const ssize_t n = read(fd, data, sizeof data);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) {
    say("{\"out\":" + std::to_string(id) + ",\"fd\":" + std::to_string(number) +
        ",\"data\":" + quoted({data, static_cast<size_t>(n)}) + "}");
    return;
  }
  // The end, or EIO of a terminal whose processes are gone.
  Process& p = processes_[id];
  if (p.pty)
    close_all(p);
  else
    close(fd), fd = -1;
}

void Agent::feed(uint64_t id, Process& p) {
  size_t fed = 0;
  while (fed < p.pending.size()) {
    const ssize_t n = p.in < 0 ? -1 : write(p.in, p.pending.data() + fed, p.pending.size() - fed);
    if (p.in >= 0 && n < 0 && errno == EAGAIN) break;
    if (p.in >= 0 && n < 0 && errno == EINTR) continue;
    // Nobody will read the rest.
    fed = n < 0 ? p.pending.size() : fed + static_cast<size_t>(n);
  }
  if (fed) say("{\"fed\":" + std::to_string(id) + ",\"bytes\":" + std::to_string(fed) + "}");
  p.pending.erase(0, fed);
  if (p.pending.empty() && p.end_of_input && !p.pty && p.in >= 0) close(p.in), p.in = -1;
}

void Agent::reap() {
  signalfd_siginfo info;
  while (read(children_, &info, sizeof info) > 0) {
  }
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (const auto own = watched_.find(pid); own != watched_.end()) {
      say("{\"stage\":" + quoted(own->second) + ",\"us\":" + std::to_string(now_us()) +
          ",\"status\":" + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 255) + "}");
      watched_.erase(own);
      continue;
    }
    for (auto i = processes_.begin(); i != processes_.end(); ++i) {
      if (i->second.pid != pid) continue;
      const uint64_t id = i->first;
      // What is still in its pipes; who else writes there goes on unheard.
      for (int rounds = 0; rounds < 1024 && i->second.out >= 0; rounds++) {
        pollfd p = {i->second.out, POLLIN, 0};
        if (poll(&p, 1, 0) <= 0) break;
        forward(id, i->second.out, 1);
      }
      for (int rounds = 0; rounds < 1024 && i->second.err >= 0; rounds++) {
        pollfd p = {i->second.err, POLLIN, 0};
        if (poll(&p, 1, 0) <= 0) break;
        forward(id, i->second.err, 2);
      }
      close_all(i->second);
      processes_.erase(i);
      say("{\"exit\":" + std::to_string(id) +
          ",\"status\":" + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) +
          ",\"signal\":" + std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : 0) + "}");
      break;
    }
  }
}

void Agent::close_all(Process& p) {
  if (p.pty && p.in >= 0) p.in = -1;  // the same as out
  for (int* fd : {&p.in, &p.out, &p.err})
    if (*fd >= 0) close(*fd), *fd = -1;
}

}  // namespace i915u::guest
