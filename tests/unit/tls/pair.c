#include "tls/pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/tickets.h"

static struct budget budget = { .limit = 256 << 20 };
struct loop loop;
static struct tls_tickets *tickets;
struct tls_worker worker;
static struct tls_certificate_conf confs[2];
struct tls_conf conf;
struct tls_slot *slot;

void pair_on_fault(void *context, const struct tls_store_fault *fault)
{
    (void)context;
    fail_msg("%s", fault->err.text);
}

int pair_set_up(void **state)
{
    (void)state;
    struct err err;
    pki_make(&(struct pki_wish){ .file = "ca", .days = 30, .is_ca = 1 });
    pki_make(&(struct pki_wish){
        .file = "ec", .names = "DNS:a.example", .issuer = "ca", .days = 30, .has_issuer = 1 });
    pki_make(&(struct pki_wish){
        .file = "rsa", .names = "DNS:a.example", .key = PKI_RSA, .issuer = "ca", .days = 30 });
    pki_make(&(struct pki_wish){ .file = "client", .issuer = "ca", .days = 30 });
    confs[0] = (struct tls_certificate_conf){ pki_path("ec", ".pem"), pki_path("ec", ".key") };
    confs[1] = (struct tls_certificate_conf){ pki_path("rsa", ".pem"), pki_path("rsa", ".key") };
    conf = (struct tls_conf){ .certificates = { confs, 2 } };
    assert_int_equal(loop_init(&loop, &budget, &err), 0);
    assert_int_equal(tls_tickets_new(&tickets, &err), 0);
    assert_int_equal(tls_worker_init(&worker, &loop, tickets, &err), 0);
    slot = tls_slot_new(tls_store_new(&conf, &(struct tls_store_asked){ .on_fault = pair_on_fault }));
    return 0;
}

int pair_tear_down(void **state)
{
    (void)state;
    tls_slot_free(slot);
    tls_worker_fini(&worker);
    tls_tickets_put(tickets);
    assert_int_equal(loop.blocks.live, 0);
    loop_fini(&loop);
    assert_int_equal(budget.used, 0);
    pki_remove();
    return 0;
}

void pair_on_near(struct transport *t)
{
    container_of(t, struct pair, near)->calls++;
}

SSL_CTX *pair_client_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_load_verify_file(ctx, pki_path("ca", ".pem"));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

void pair_open(struct pair *p, SSL_CTX *ctx, const char *alpn)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *p = (struct pair){ .far = fds[1], .limit = SIZE_MAX };
    transport_init_accepted(&p->near, &loop, fds[0], false, pair_on_near);
    assert_int_equal(tls_conn_accept(&p->near, &worker, slot, alpn), 0);
    assert_int_equal(transport_wait(&p->near), 0);
    p->client = SSL_new(ctx);
    p->to_client = BIO_new(BIO_s_mem());
    p->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(p->client, p->to_client, p->from_client);
    SSL_set_connect_state(p->client);
    SSL_set_tlsext_host_name(p->client, "a.example");
}

SSL_CTX *pair_server_context(const char *file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_file(ctx, pki_path(file, ".pem"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, pki_path(file, ".key"), SSL_FILETYPE_PEM);
    return ctx;
}

void pair_open_towards(struct pair *p, SSL_CTX *ctx, const struct tls_target *to)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *p = (struct pair){ .far = fds[1], .limit = SIZE_MAX };
    transport_init_accepted(&p->near, &loop, fds[0], false, pair_on_near);
    p->near.is_readable = false;
    assert_int_equal(tls_conn_connect(&p->near, &worker, to), 0);
    assert_int_equal(transport_wait(&p->near), 0);
    p->client = SSL_new(ctx);
    p->to_client = BIO_new(BIO_s_mem());
    p->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(p->client, p->to_client, p->from_client);
    SSL_set_accept_state(p->client);
}

void pair_close(struct pair *p)
{
    transport_close(&p->near, false);
    close(p->far);
    SSL_free(p->client);
    ERR_clear_error();
}

/* Carries bytes, as many as may go at a time; false: nothing moved. */
bool pair_carry(struct pair *p)
{
    char data[65536];
    bool has_moved = false;
    size_t max = p->carry_max ? p->carry_max : sizeof(data);
    size_t waiting = BIO_ctrl_pending(p->from_client), may = p->limit - p->to_near;
    if (waiting > max) waiting = max;
    if (waiting > may) waiting = may;
    if (waiting) {
        /* Only what the socket takes. */
        char *start;
        BIO_get_mem_data(p->from_client, &start);
        ssize_t n = send(p->far, start, waiting, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            BIO_read(p->from_client, data, (int)n);
            p->to_near += (size_t)n;
            has_moved = true;
        }
    }
    ssize_t n = recv(p->far, data, max, MSG_DONTWAIT);
    if (n > 0) {
        BIO_write(p->to_client, data, (int)n);
        has_moved = true;
    }
    loop_turn(&loop, 0);
    return has_moved;
}

/* Both ends' handshake as far as it goes. */
enum io pair_shake(struct pair *p)
{
    enum io near = IO_AGAIN;
    unsigned idle = 0;
    for (unsigned i = 0; i < TURNS_MAX && idle < 4; i++) {
        if (near == IO_AGAIN) near = transport_open(&p->near);
        ERR_clear_error();
        int done = SSL_do_handshake(p->client);
        if (done != 1 && !p->client_error) p->client_error = ERR_GET_REASON(ERR_peek_error());
        idle = pair_carry(p) ? 0 : idle + 1;
        if (near == IO_OK && done == 1) break;
    }
    return near;
}

void pair_shake_well(struct pair *p)
{
    if (pair_shake(p) != IO_OK) fail_msg("%s: %s", end_reason_info(p->near.fault)->name, p->near.fault_words);
    assert_true(SSL_is_init_finished(p->client));
}

size_t pair_waiting_at(int fd)
{
    int bytes = 0;
    ioctl(fd, FIONREAD, &bytes);
    return (size_t)bytes;
}
