/*
 * A minimal Android device, as far as adb sees one: it takes connections over TCP without a key,
 * boots after a while, and answers the few shell commands that set a device up.
 *
 *   device [--port N] [--bind ADDRESS] [--until-eof] [androidboot.redroid_width=W ...]
 *
 * --until-eof ends it when its standard input does, so that it never outlives who started it.
 * androidboot.redroid_{width,height,dpi} are what `wm size` and `wm density` tell, as in redroid.
 *
 * Environment:
 *   BOOT_SECONDS  from its start until sys.boot_completed is 1; default 2; "never"
 *   MISBEHAVE     hang (takes connections and says nothing), nonsense (says what is no adb),
 *                 trickle (a byte a second), die (exits with 3 instead of having booted)
 *
 * The protocol: https://cs.android.com, packages/modules/adb/protocol.txt. Messages are in little
 * endian, as all machines that this is meant for are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum command {
  CNXN = 0x4e584e43,
  OPEN = 0x4e45504f,
  OKAY = 0x59414b4f,
  CLSE = 0x45534c43,
  WRTE = 0x45545257,
};
enum { VERSION = 0x01000000, LARGEST_PAYLOAD = 64 * 1024, LARGEST_OUTPUT = 8 * 1024 };
enum { MOST_CONNECTIONS = 64, MOST_STREAMS = 16, MOST_SETTINGS = 128 };
enum { NOT_FOUND = 127, USAGE = 1, DIED = 3 };

struct message {
  uint32_t command, first, second, length, checksum, magic;
};

/* A stream whose output was sent, and is closed once the other side has taken it. */
struct stream {
  uint32_t ours, theirs;
};

struct connection {
  int socket;
  size_t received, trickled;
  struct stream streams[MOST_STREAMS];
  uint32_t last_stream;
  struct message message;
  unsigned char payload[LARGEST_PAYLOAD + 1];
};

static struct connection *connections[MOST_CONNECTIONS];
static struct {
  char key[128], value[256];
} settings[MOST_SETTINGS];
static int setting_count;
static struct timespec started;
static double boot_seconds = 2;
static const char *misbehaviour = "";

static int misbehaves(const char *how) { return strcmp(misbehaviour, how) == 0; }

static int has_booted(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double passed = (double)(now.tv_sec - started.tv_sec) + (now.tv_nsec - started.tv_nsec) / 1e9;
  return boot_seconds >= 0 && passed >= boot_seconds;
}

/* What is kept under a key; "" for nothing. */
static const char *kept(const char *key) {
  for (int i = 0; i < setting_count; i++)
    if (strcmp(settings[i].key, key) == 0) return settings[i].value;
  return "";
}

/* Returns 0 when there is no room for it. */
static int keep(const char *key, const char *value) {
  int i = 0;
  while (i < setting_count && strcmp(settings[i].key, key) != 0) i++;
  if (i == MOST_SETTINGS) return 0;
  if (i == setting_count) setting_count++;
  snprintf(settings[i].key, sizeof settings[i].key, "%s", key);
  snprintf(settings[i].value, sizeof settings[i].value, "%s", value);
  return 1;
}

static const char *property(const char *name) {
  if (strcmp(name, "sys.boot_completed") == 0 || strcmp(name, "dev.bootcomplete") == 0)
    return has_booted() ? "1" : "";
  if (strcmp(name, "init.svc.bootanim") == 0) return has_booted() ? "stopped" : "running";
  return kept(name);
}

/* Each of these runs one command: it fills `out` and returns the exit code. */

static int get_property(const char *name, char *out, size_t size) {
  if (*name != '\0') {
    snprintf(out, size, "%s\n", property(name));
    return 0;
  }
  size_t used = snprintf(out, size, "[sys.boot_completed]: [%s]\n", property("sys.boot_completed"));
  for (int i = 0; i < setting_count && used < size; i++)
    if (strncmp(settings[i].key, "ro.", 3) == 0)
      used += snprintf(out + used, size - used, "[%s]: [%s]\n", settings[i].key, settings[i].value);
  return 0;
}

static int manage_window(const char *words, char *out, size_t size) {
  char rest;
  unsigned width, height, density;
  char value[64];
  if (strcmp(words, "size") == 0)
    snprintf(out, size, "Physical size: %s\n", kept("wm size"));
  else if (strcmp(words, "density") == 0)
    snprintf(out, size, "Physical density: %s\n", kept("wm density"));
  else if (sscanf(words, "size %5ux%5u%c", &width, &height, &rest) == 2) {
    snprintf(value, sizeof value, "%ux%u", width, height);
    return keep("wm size", value) ? 0 : USAGE;
  } else if (sscanf(words, "density %5u%c", &density, &rest) == 1) {
    snprintf(value, sizeof value, "%u", density);
    return keep("wm density", value) ? 0 : USAGE;
  } else {
    snprintf(out, size, "usage: wm size [WxH] | wm density [DPI]\n");
    return USAGE;
  }
  return 0;
}

static int change_settings(const char *words, char *out, size_t size) {
  char space[16], name[64], value[200], key[128];
  if (sscanf(words, "put %15s %63s %199[^\n]", space, name, value) == 3) {
    snprintf(key, sizeof key, "settings %s %s", space, name);
    return keep(key, value) ? 0 : USAGE;
  }
  if (sscanf(words, "get %15s %63s", space, name) == 2) {
    snprintf(key, sizeof key, "settings %s %s", space, name);
    const char *found = kept(key);
    snprintf(out, size, "%s\n", *found ? found : "null");
    return 0;
  }
  snprintf(out, size, "usage: settings get|put NAMESPACE KEY [VALUE]\n");
  return USAGE;
}

static int set_property(const char *words, char *out, size_t size) {
  char name[128], value[200];
  if (sscanf(words, "%127s %199[^\n]", name, value) == 2) return keep(name, value) ? 0 : USAGE;
  snprintf(out, size, "usage: setprop NAME VALUE\n");
  return USAGE;
}

static int echo(const char *words, char *out, size_t size) {
  size_t length = strlen(words);
  if (length > 1 && (*words == '"' || *words == '\'') && words[length - 1] == *words)
    snprintf(out, size, "%.*s\n", (int)length - 2, words + 1);
  else
    snprintf(out, size, "%s\n", words);
  return 0;
}

static int do_nothing(const char *words, char *out, size_t size) {
  (void)words, (void)out, (void)size;
  return 0;
}

static const struct {
  const char *name;
  int (*run)(const char *words, char *out, size_t size);
} commands[] = {
    {"getprop", get_property}, {"setprop", set_property}, {"wm", manage_window},
    {"settings", change_settings}, {"echo", echo}, {"input", do_nothing}, {"am", do_nothing},
};

static int run_one(const char *command, char *out, size_t size) {
  while (*command == ' ') command++;
  size_t length = strcspn(command, " ");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strlen(commands[i].name) == length && strncmp(command, commands[i].name, length) == 0)
      return commands[i].run(command + length + strspn(command + length, " "), out, size);
  snprintf(out, size, "/system/bin/sh: %.*s: not found\n", (int)(length < 60 ? length : 60), command);
  return NOT_FOUND;
}

/* Runs `A && B && ...`, as far as each succeeds; that is all of a shell that there is. */
static int run(char *line, char *out, size_t size) {
  int code = 0;
  size_t used = 0;
  for (char *command = line, *next; command != NULL && code == 0; command = next) {
    next = strstr(command, "&&");
    if (next != NULL) {
      *next = '\0';
      next += 2;
    }
    for (size_t end = strlen(command); end > 0 && command[end - 1] == ' '; end--)
      command[end - 1] = '\0';
    out[used] = '\0';
    code = run_one(command, out + used, size - used);
    used += strlen(out + used);
  }
  return code;
}

/* Returns 0 when the other side does not take it; answers are small, so that is nobody's fault
 * but its own, and the device waits for none. */
static int send_message(struct connection *to, uint32_t command, uint32_t first, uint32_t second,
                        const void *payload, uint32_t length) {
  unsigned char buffer[sizeof(struct message) + LARGEST_OUTPUT + 64];
  struct message message = {command, first, second, length, 0, ~command};
  for (uint32_t i = 0; i < length; i++) message.checksum += ((const unsigned char *)payload)[i];
  memcpy(buffer, &message, sizeof message);
  if (length > 0) memcpy(buffer + sizeof message, payload, length);
  ssize_t size = (ssize_t)(sizeof message + length);
  return send(to->socket, buffer, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) == size;
}

static int greet(struct connection *to) {
  char banner[512];
  snprintf(banner, sizeof banner,
           "device::ro.product.name=%s;ro.product.model=%s;ro.product.device=%s;"
           "features=shell_v2,cmd",
           kept("ro.product.name"), kept("ro.product.model"), kept("ro.product.device"));
  return send_message(to, CNXN, VERSION, LARGEST_PAYLOAD, banner, (uint32_t)strlen(banner) + 1);
}

/* Puts the exit code and the output into the packets of shell_v2; returns their size. */
static uint32_t pack(char *packets, const char *output, int code) {
  uint32_t length = (uint32_t)strlen(output), one = 1, used = 0;
  if (length > 0) {
    packets[0] = 1;
    memcpy(packets + 1, &length, sizeof length);
    memcpy(packets + 5, output, length);
    used = 5 + length;
  }
  packets[used] = 3;
  memcpy(packets + used + 1, &one, sizeof one);
  packets[used + 5] = (char)code;
  return used + 6;
}

/* Runs what a stream is opened for: "shell:COMMAND", "shell,v2,...:COMMAND", "exec:COMMAND". */
static int open_stream(struct connection *from, uint32_t theirs, char *service) {
  char *colon = strchr(service, ':');
  size_t kind = strcspn(service, ",:");
  int is_shell = kind == 5 && strncmp(service, "shell", kind) == 0;
  int is_exec = kind == 4 && strncmp(service, "exec", kind) == 0;
  struct stream *free_one = NULL;
  for (int i = 0; i < MOST_STREAMS && free_one == NULL; i++)
    if (from->streams[i].ours == 0) free_one = &from->streams[i];
  /* Nobody can talk to a shell here: without a command there is none. */
  if (colon == NULL || colon[1] == '\0' || !(is_shell || is_exec) || free_one == NULL)
    return send_message(from, CLSE, 0, theirs, NULL, 0);

  *colon = '\0';
  int is_packed = is_shell && strstr(service, ",v2") != NULL;
  char output[LARGEST_OUTPUT], packets[LARGEST_OUTPUT + 16];
  output[0] = '\0';
  int code = run(colon + 1, output, sizeof output);
  uint32_t ours = ++from->last_stream, length = (uint32_t)strlen(output);
  if (is_packed) length = pack(packets, output, code);
  if (!send_message(from, OKAY, ours, theirs, NULL, 0)) return 0;
  if (length == 0) return send_message(from, CLSE, ours, theirs, NULL, 0);
  *free_one = (struct stream){ours, theirs};
  return send_message(from, WRTE, ours, theirs, is_packed ? packets : output, length);
}

/* The other side took a stream's output, or closed it. */
static int end_stream(struct connection *of, uint32_t ours, int tell) {
  for (int i = 0; i < MOST_STREAMS; i++) {
    struct stream *stream = &of->streams[i];
    if (stream->ours != ours || ours == 0) continue;
    uint32_t theirs = stream->theirs;
    stream->ours = 0;
    return !tell || send_message(of, CLSE, ours, theirs, NULL, 0);
  }
  return 1; /* it was closed before */
}

static int obey(struct connection *from) {
  struct message *message = &from->message;
  from->payload[message->length] = '\0';
  switch (message->command) {
    case CNXN: return greet(from);
    case OPEN: return open_stream(from, message->first, (char *)from->payload);
    case OKAY: return end_stream(from, message->second, 1);
    case CLSE: return end_stream(from, message->second, 0);
    case WRTE: return send_message(from, OKAY, message->second, message->first, NULL, 0);
    default: return 0;
  }
}

/* Reads what has come of the message under way; returns 0 when the connection is over. */
static int hear(struct connection *from) {
  struct message *message = &from->message;
  size_t head = sizeof *message;
  unsigned char *into = from->received < head ? (unsigned char *)message + from->received
                                              : from->payload + (from->received - head);
  size_t wanted = from->received < head ? head - from->received
                                        : head + message->length - from->received;
  ssize_t got = recv(from->socket, into, wanted, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return 0;
  from->received += (size_t)got;
  if (from->received < head) return 1;
  if (message->magic != ~message->command || message->length > LARGEST_PAYLOAD) return 0;
  if (from->received < head + message->length) return 1;
  from->received = 0;
  return obey(from);
}

static int answer(struct connection *from) {
  if (misbehaves("nonsense")) {
    static const char nonsense[] = "SSH-2.0-OpenSSH_9.2 of another house, and more than a header\r\n";
    char unread[1024];
    if (recv(from->socket, unread, sizeof unread, MSG_DONTWAIT) <= 0) return 0;
    return send(from->socket, nonsense, sizeof nonsense - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
  }
  return hear(from);
}

/* Sends the next byte of an answer that never comes to its end. */
static void trickle(void) {
  struct message begun = {CNXN, VERSION, LARGEST_PAYLOAD, LARGEST_PAYLOAD, 0, ~(uint32_t)CNXN};
  for (int i = 0; i < MOST_CONNECTIONS; i++) {
    struct connection *to = connections[i];
    if (to == NULL) continue;
    char next = to->trickled < sizeof begun ? ((char *)&begun)[to->trickled] : 'x';
    to->trickled++;
    send(to->socket, &next, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

static void hang_up(int place) {
  close(connections[place]->socket);
  free(connections[place]);
  connections[place] = NULL;
}

static void take(int listener) {
  int taken = accept(listener, NULL, NULL), place = 0;
  if (taken < 0) return;
  while (place < MOST_CONNECTIONS && connections[place] != NULL) place++;
  struct connection *made = place < MOST_CONNECTIONS ? calloc(1, sizeof *made) : NULL;
  if (made == NULL) {
    close(taken);
    return;
  }
  /* Else the second half of an answer waits until the first one is known to have come. */
  int yes = 1;
  setsockopt(taken, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  made->socket = taken;
  connections[place] = made;
}

static void serve(int listener, int until_eof) {
  for (;;) {
    struct pollfd watched[MOST_CONNECTIONS + 2] = {{listener, POLLIN, 0},
                                                   {until_eof ? STDIN_FILENO : -1, POLLIN, 0}};
    for (int i = 0; i < MOST_CONNECTIONS; i++) {
      int is_heard = connections[i] != NULL && !misbehaves("hang") && !misbehaves("trickle");
      watched[i + 2] = (struct pollfd){is_heard ? connections[i]->socket : -1, POLLIN, 0};
    }
    if (poll(watched, MOST_CONNECTIONS + 2, 1000) < 0 && errno != EINTR) exit(1);
    if (misbehaves("die") && has_booted()) exit(DIED);
    if (misbehaves("trickle")) trickle();
    if (watched[1].revents != 0) {
      char unread[64];
      if (read(STDIN_FILENO, unread, sizeof unread) <= 0) exit(0);
    }
    for (int i = 0; i < MOST_CONNECTIONS; i++)
      if (watched[i + 2].revents != 0 && !answer(connections[i])) hang_up(i);
    if (watched[0].revents != 0) take(listener);
  }
}

static int listen_on(const char *address, int port) {
  int made = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &place.sin_addr) != 1) {
    fprintf(stderr, "device: %s is not an address\n", address);
    exit(2);
  }
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (made < 0 || bind(made, (struct sockaddr *)&place, sizeof place) != 0 || listen(made, 16) != 0) {
    fprintf(stderr, "device: %s:%d: %s\n", address, port, strerror(errno));
    exit(1);
  }
  return made;
}

static void end(int signal_number) {
  (void)signal_number;
  _exit(0);
}

int main(int count, char **words) {
  const char *address = "0.0.0.0", *boot = getenv("BOOT_SECONDS"), *wrong = getenv("MISBEHAVE");
  unsigned width = 1920, height = 1080, density = 240;
  int port = 5555, until_eof = 0;
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i], "--port") == 0 && i + 1 < count)
      port = atoi(words[++i]);
    else if (strcmp(words[i], "--bind") == 0 && i + 1 < count)
      address = words[++i];
    else if (strcmp(words[i], "--until-eof") == 0)
      until_eof = 1;
    /* What else it is told is meant for Android, and ignored, as Android would. */
    sscanf(words[i], "androidboot.redroid_width=%5u", &width);
    sscanf(words[i], "androidboot.redroid_height=%5u", &height);
    sscanf(words[i], "androidboot.redroid_dpi=%5u", &density);
  }
  char value[32];
  snprintf(value, sizeof value, "%ux%u", width, height);
  keep("wm size", value);
  snprintf(value, sizeof value, "%u", density);
  keep("wm density", value);
  keep("ro.product.name", "minimal");
  keep("ro.product.model", "Minimal device");
  keep("ro.product.device", "minimal");
  if (boot != NULL) boot_seconds = strcmp(boot, "never") == 0 ? -1 : atof(boot);
  if (wrong != NULL) misbehaviour = wrong;

  clock_gettime(CLOCK_MONOTONIC, &started);
  signal(SIGPIPE, SIG_IGN);
  /* As a container's first process it has no other handler. */
  signal(SIGTERM, end);
  signal(SIGINT, end);
  serve(listen_on(address, port), until_eof);
}
