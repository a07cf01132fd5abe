/* Answers to a check by a question of DNS: whatever is read lies within bounds, and only what has the question's id and the question
 * itself is an answer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "health/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dns_question q = { .id = 0x1234, .type = 1, .name = "a.example" };
    const struct dns_question other = { .id = 0x1234, .type = 28, .name = "a.example" };
    unsigned char asked[DNS_QUESTION_MAX];
    struct dns_answer a;
    size_t len = dns_question_write(&q, asked);
    char *copy = malloc(size); /* as long as it is: what reads on is seen */
    if (size && !copy) return 0;
    if (size) memcpy(copy, data, size);
    const char *fault = dns_answer_read(&q, (struct slice){ copy, size }, &a);
    if (!fault) {
        bool is_without_question = !copy[4] && !copy[5];
        if (size < DNS_HEAD_BYTES || memcmp(copy, asked, 2) != 0 || a.rcode > 15) abort();
        if (is_without_question ? a.rcode != 1 && a.rcode != 4 : size < len) abort();
        if (!is_without_question && !dns_answer_read(&other, (struct slice){ copy, size }, &a)) abort();
        copy[1] ^= 1;
        if (!dns_answer_read(&q, (struct slice){ copy, size }, &a)) abort();
    } else if (!*fault) {
        abort();
    }
    free(copy);
    return 0;
}
