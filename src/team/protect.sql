-- Every table is there: from here on no row of a tenant's is seen by another.
select flowforge.protect_tables();
