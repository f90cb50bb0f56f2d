-- True if the user may replace, move and delete objects of Vivarium's buckets with a token of their own:
-- staff, in the public buckets. Anybody else could replace verified bytes with other bytes, under a URL that
-- was already issued.
   (bucket_id = any ({public}) and {staff})
