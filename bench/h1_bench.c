/* Nanoseconds to parse one HTTP/1 head: bench-h1 [rounds]. The least of several runs, so that what else
 * the machine does is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http/h1_parse.h"

#define RUNS 20

static const struct h1_limits limits = { .head_max = 64 << 10, .field_max = 128 };

static const char small_request[] = "GET /index.html HTTP/1.1\r\n"
                                    "Host: www.example.com\r\n"
                                    "User-Agent: curl/7.88.1\r\n"
                                    "Accept: */*\r\n"
                                    "\r\n";

static const char service_request[] = "POST /v1/orders/48151623/items?expand=price&page=2 HTTP/1.1\r\n"
                                      "Host: api.example.com\r\n"
                                      "User-Agent: Go-http-client/1.1\r\n"
                                      "Content-Length: 348\r\n"
                                      "Accept: application/json\r\n"
                                      "Accept-Encoding: gzip\r\n"
                                      "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
                                      "Content-Type: application/json\r\n"
                                      "X-Forwarded-For: 192.0.2.17\r\n"
                                      "X-Request-Id: 7f3a2c9e5b1d4860a3c2\r\n"
                                      "Connection: keep-alive\r\n"
                                      "\r\n";

static const char browser_request[] =
    "GET /articles/2024/06/on-weirs-and-rivers.html?utm_source=letter HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: "
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: session=8a1f6c2e9d7b4035; theme=dark; consent=1718000000\r\n"
    "\r\n";

static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "Server: nginx/1.22.1\r\n"
                               "Date: Mon, 03 Jun 2024 10:11:12 GMT\r\n"
                               "Content-Type: text/html; charset=utf-8\r\n"
                               "Content-Length: 18342\r\n"
                               "Last-Modified: Sun, 02 Jun 2024 09:08:07 GMT\r\n"
                               "Connection: keep-alive\r\n"
                               "ETag: \"665c3a87-47a6\"\r\n"
                               "Cache-Control: max-age=3600\r\n"
                               "Accept-Ranges: bytes\r\n"
                               "\r\n";

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint32_t parse(struct slice bytes, bool is_response)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct h1_progress progress = { 0 };
    struct http_head head;
    struct h1_framing framing;
    struct h1_fault fault;
    uint32_t len = 0;
    enum h1_result got =
        is_response
            ? h1_parse_response(&progress, bytes, HTTP_GET, &limits, fields, &head, &framing, &len, &fault)
            : h1_parse_request(&progress, bytes, &limits, fields, &head, &framing, &len, &fault);
    if (got != H1_DONE) {
        fprintf(stderr, "h1_bench: the head was not accepted: %s\n",
                got == H1_BAD ? fault.detail : "not whole");
        exit(1);
    }
    return head.field_count;
}

static void measure(const char *name, struct slice bytes, bool is_response, unsigned rounds)
{
    double best = 1e18;
    uint32_t fields = parse(bytes, is_response);
    for (unsigned run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (unsigned i = 0; i < rounds; i++) {
            __asm__ volatile("" ::: "memory");
            fields = parse(bytes, is_response);
        }
        double each = (now_ns() - start) / rounds;
        if (each < best) best = each;
    }
    printf("%-16s %4zu bytes %2u fields %7.1f ns %5.2f GB/s\n", name, bytes.len, fields, best,
           (double)bytes.len / best);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200000;
    if (!rounds) return 64;
    measure("small request", SLICE(small_request), false, rounds);
    measure("service request", SLICE(service_request), false, rounds);
    measure("browser request", SLICE(browser_request), false, rounds);
    measure("response", SLICE(response), true, rounds);
    return 0;
}
