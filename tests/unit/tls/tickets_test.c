#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tls/pki.h"
#include "tls/tickets.h"

#define NOW_S INT64_C(1800000000)

static struct tls_tickets *tickets;
static EVP_CIPHER_CTX *cipher;
static EVP_MAC_CTX *mac;

static int set_up(void **state)
{
    (void)state;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    cipher = EVP_CIPHER_CTX_new();
    mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    tickets = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_tickets_put(tickets);
    EVP_CIPHER_CTX_free(cipher);
    EVP_MAC_CTX_free(mac);
    pki_remove();
    return 0;
}

static void seal(struct tls_tickets *t, int64_t now_s, unsigned char name[16])
{
    unsigned char iv[16];
    assert_int_equal(tls_tickets_seal(t, now_s, name, iv, cipher, mac), 1);
}

static int open_with(struct tls_tickets *t, int64_t now_s, const unsigned char name[16])
{
    unsigned char iv[16] = { 0 };
    return tls_tickets_open(t, now_s, name, iv, cipher, mac);
}

static void a_key_opens_what_it_sealed_until_no_ticket_of_it_can_be_left(void **state)
{
    (void)state;
    struct err err;
    unsigned char first[16], second[16];
    assert_int_equal(tls_tickets_new(&tickets, &err), 0);
    seal(tickets, NOW_S, first);
    assert_int_equal(open_with(tickets, NOW_S + 1, first), 1);
    seal(tickets, NOW_S + TLS_TICKET_KEY_S, second);
    assert_memory_not_equal(first, second, 16);
    assert_int_equal(open_with(tickets, NOW_S + TLS_TICKET_KEY_S, second), 1);
    assert_int_equal(open_with(tickets, NOW_S + TLS_TICKET_KEY_S, first), 2); /* and is renewed */
    assert_int_equal(open_with(tickets, NOW_S + 2 * TLS_TICKET_KEY_S, first), 2);
    assert_int_equal(open_with(tickets, NOW_S + 3 * TLS_TICKET_KEY_S, first), 0);
}

static void keys_that_nobody_used_for_long_are_forgotten(void **state)
{
    (void)state;
    struct err err;
    unsigned char name[16];
    assert_int_equal(tls_tickets_new(&tickets, &err), 0);
    seal(tickets, NOW_S, name);
    assert_int_equal(open_with(tickets, NOW_S + TLS_TICKET_KEY_S + TLS_TICKET_LIFE_S, name), 0);
}

static void two_nodes_with_one_file_open_each_others(void **state)
{
    (void)state;
    struct err err;
    char keys[161];
    struct tls_tickets *other;
    struct file_stamp stamp;
    unsigned char name[16];
    for (size_t i = 0; i < 160; i++) keys[i] = (char)('A' + i / 10);
    keys[160] = 0;
    pki_write("keys", "", keys);
    assert_int_equal(tls_tickets_read(&tickets, pki_path("keys", ""), &stamp, &err), 0);
    assert_int_equal(tls_tickets_read(&other, pki_path("keys", ""), &stamp, &err), 0);
    seal(tickets, NOW_S, name);
    assert_int_equal(open_with(other, NOW_S + 100 * TLS_TICKET_LIFE_S, name), 1);
    assert_int_equal(open_with(other, NOW_S, (const unsigned char *)keys + 80), 2);
    assert_int_equal(open_with(other, NOW_S, (const unsigned char *)"0123456789abcdef"), 0);
    tls_tickets_put(other);
    keys[159] = 0;
    pki_write("keys", "", keys);
    assert_int_equal(tls_tickets_read(&other, pki_path("keys", ""), &stamp, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_opens_what_it_sealed_until_no_ticket_of_it_can_be_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(keys_that_nobody_used_for_long_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_nodes_with_one_file_open_each_others, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
