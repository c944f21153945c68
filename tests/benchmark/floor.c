/*
 * The floor: what moving a call's frames costs before anything is done with them.
 *
 * One thread, one epoll. A phone that comes is upgraded, the model is dialled, and from then on each frame that
 * comes from one side goes to the other: one recv and one send a frame, unmasked and masked as RFC 6455 asks,
 * its payload unread. No TwiML, no signature, no audio clock, no interruption. Deadlines, TLS, fragments and
 * pings are left out, since neither side of the load uses them.
 *
 * Usage: floor LISTEN_PORT MODEL_HOST MODEL_PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 65536, EVENTS = 64 };

typedef struct side {
    int fd;
    int upgraded;        /* the HTTP head has gone by */
    int is_model;        /* what we send here is masked, what comes is not */
    struct side *other;
    struct side *next_dead;
    int dead;
    unsigned char *partial; /* the beginning of a frame */
    size_t partial_bytes;
} side;

static const char UPGRADED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
static const char SESSION[] =
    "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"audio\":{\"input\":{\"format\":"
    "{\"type\":\"audio/pcmu\"},\"turn_detection\":{\"type\":\"server_vad\",\"interrupt_response\":true}},"
    "\"output\":{\"format\":{\"type\":\"audio/pcmu\"}}}}}";

static int poller;
static struct sockaddr_in model_at;
static side *dead_list;
static unsigned char in[READ_BYTES * 2], out[READ_BYTES * 2 + 16];

static void fatal(const char *what) {
    perror(what);
    exit(1);
}

static void end(side *s) {
    if (s->dead) return;
    s->dead = 1;
    epoll_ctl(poller, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    s->next_dead = dead_list;
    dead_list = s;
    if (s->other) {
        side *other = s->other;
        s->other = NULL;
        other->other = NULL;
        end(other);
    }
}

/* Masking keys in stock, 64 at a time, as fresh as the system's. */
static uint32_t fresh_key(void) {
    static uint32_t keys[64];
    static int left;
    if (!left) {
        if (getrandom(keys, sizeof keys, 0) != sizeof keys) fatal("getrandom");
        left = 64;
    }
    return keys[--left];
}

static void xor_bytes(unsigned char *to, const unsigned char *from, size_t n, const unsigned char key[4]) {
    uint64_t wide;
    uint32_t narrow;
    memcpy(&narrow, key, 4);
    wide = (uint64_t)narrow << 32 | narrow;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ key[i & 3];
}

static void send_frame(side *s, int opcode, const unsigned char *payload, size_t n) {
    size_t at = 0;
    unsigned char bit = s->is_model ? 0x80 : 0;
    out[at++] = 0x80 | opcode;
    if (n < 126) {
        out[at++] = bit | n;
    } else if (n < 65536) {
        out[at++] = bit | 126;
        out[at++] = n >> 8;
        out[at++] = n & 255;
    } else {
        end(s);
        return;
    }
    if (s->is_model) {
        uint32_t key = fresh_key();
        memcpy(out + at, &key, 4);
        at += 4;
        xor_bytes(out + at, payload, n, out + at - 4);
    } else {
        memcpy(out + at, payload, n);
    }
    at += n;
    /* A peer that does not keep up is given up: what it costs to wait for one is not measured here. */
    if (send(s->fd, out, at, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)at) end(s);
}

/* Forward the whole frames; return how many bytes they were. */
static size_t forward(side *s, unsigned char *data, size_t size) {
    size_t start = 0;
    while (size - start >= 2 && !s->dead) {
        unsigned char *frame = data + start;
        size_t body = 2, n = frame[1] & 127;
        if (n == 126) {
            if (size - start < 4) break;
            n = frame[2] << 8 | frame[3];
            body = 4;
        } else if (n == 127) {
            end(s); /* larger than anything that is sent here */
            break;
        }
        if (!s->other || !s->other->upgraded) break; /* kept until there is somebody to send it to */
        int masked = frame[1] & 0x80;
        if (masked) body += 4;
        if (size - start < body + n) break;
        if (masked) xor_bytes(frame + body, frame + body, n, frame + body - 4);
        int opcode = frame[0] & 15;
        if (opcode == 8) end(s);
        else send_frame(s->other, opcode, frame + body, n);
        start += body + n;
    }
    return start;
}

static side *adopt(int fd, int is_model) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    side *s = calloc(1, sizeof *s);
    if (!s) fatal("calloc");
    s->fd = fd;
    s->is_model = is_model;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fatal("epoll_ctl");
    return s;
}

static void listen_to(side *s, uint32_t what) {
    struct epoll_event event = {.events = what, .data.ptr = s};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &event)) fatal("epoll_ctl");
}

static void dial(side *phone) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&model_at, sizeof model_at)) {
        if (fd >= 0) close(fd);
        end(phone);
        return;
    }
    static const char request[] =
        "GET /v1/realtime?model=floor HTTP/1.1\r\nHost: model\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) fatal("send");
    phone->other = adopt(fd, 1);
    phone->other->other = phone;
    listen_to(phone, 0); /* until the model is there */
}

/* Take the HTTP head, however it came; return how many bytes it was, 0 if it is not whole. */
static size_t upgrade(side *s, unsigned char *data, size_t size) {
    unsigned char *found = memmem(data, size, "\r\n\r\n", 4);
    if (!found) return 0;
    s->upgraded = 1;
    if (s->is_model) {
        send_frame(s, 1, (const unsigned char *)SESSION, sizeof SESSION - 1);
        if (s->other) listen_to(s->other, EPOLLIN);
    } else {
        if (send(s->fd, UPGRADED, sizeof UPGRADED - 1, MSG_NOSIGNAL) < 0) end(s);
        else dial(s);
    }
    return found + 4 - data;
}

static void readable(side *s) {
    size_t kept = s->partial_bytes, used = 0;
    if (kept) memcpy(in, s->partial, kept);
    ssize_t got = recv(s->fd, in + kept, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) end(s);
        return;
    }
    size_t size = kept + got;
    if (!s->upgraded) used = upgrade(s, in, size);
    if (s->upgraded && !s->dead) used += forward(s, in + used, size - used);
    if (s->dead) return;
    s->partial_bytes = size - used;
    if (s->partial_bytes) {
        s->partial = realloc(s->partial, s->partial_bytes);
        if (!s->partial) fatal("realloc");
        memcpy(s->partial, in + used, s->partial_bytes);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: floor LISTEN_PORT MODEL_HOST MODEL_PORT\n");
        return 2;
    }
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    model_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (!inet_aton(argv[2], &model_at.sin_addr)) fatal("MODEL_HOST");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) fatal("listen");
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[EVENTS];
        int many = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < many; i++) {
            side *s = events[i].data.ptr;
            if (s) {
                if (!s->dead) readable(s);
            } else {
                int fd = accept(listener, NULL, NULL);
                if (fd >= 0) adopt(fd, 0);
            }
        }
        while (dead_list) { /* not before: an event of this round may still name one */
            side *s = dead_list;
            dead_list = s->next_dead;
            free(s->partial);
            free(s);
        }
    }
}
