-- Who creates objects in our buckets with a token of their own: staff in the public ones. Everything else
-- comes by ticket and is verified; unless direct uploads are chosen: then members create, unverified,
-- below the folder under their own id, and never in `shared/`.
   (bucket_id = any ({public}) and {staff})
or ({direct_uploads} and bucket_id = any ({owned}) and cardinality(path_tokens) > 1
    and path_tokens[1] = {member})
