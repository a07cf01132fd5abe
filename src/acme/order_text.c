#include "acme/order_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "acme/jws.h"
#include "base/base64.h"
#include "base/json.h"

#define TEXT_MAX ((size_t)128 << 10)

static void print_contact(const char *email, struct json *j)
{
    char contact[512];
    if (!email) return;
    snprintf(contact, sizeof(contact), "mailto:%s", email);
    json_key(j, "contact");
    json_array(j);
    json_string(j, contact);
    json_array_end(j);
}

char *acme_account_text(const struct acme_order_setup *setup, const char *url, size_t *len)
{
    char *bound = setup->kid ? jws_bind(setup->account, url, setup->kid, setup->hmac_key) : NULL;
    struct json j;
    if (setup->kid && !bound) return NULL;
    json_init(&j, TEXT_MAX, false);
    json_object(&j);
    json_key(&j, "termsOfServiceAgreed");
    json_bool(&j, true);
    print_contact(setup->email, &j);
    if (bound) {
        json_key(&j, "externalAccountBinding");
        json_raw(&j, slice_of(bound));
    }
    json_object_end(&j);
    free(bound);
    return json_take(&j, len);
}

char *acme_identifiers_text(const struct acme_order_setup *setup, size_t *len)
{
    struct json j;
    json_init(&j, TEXT_MAX, false);
    json_object(&j);
    json_key(&j, "identifiers");
    json_array(&j);
    for (uint32_t i = 0; i < setup->name_count; i++) {
        json_object(&j);
        json_key(&j, "type");
        json_string(&j, "dns");
        json_key(&j, "value");
        json_string(&j, setup->names[i]);
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    return json_take(&j, len);
}

char *acme_finalize_text(struct slice csr, size_t *len)
{
    char *memory = malloc(BASE64URL_ROOM(csr.len));
    if (!memory) return NULL;
    struct text t = text_over(memory, BASE64URL_ROOM(csr.len));
    struct json j;
    base64url_add(&t, csr);
    json_init(&j, TEXT_MAX, false);
    json_object(&j);
    json_key(&j, "csr");
    json_slice(&j, text_slice(&t));
    json_object_end(&j);
    free(memory);
    return json_take(&j, len);
}
